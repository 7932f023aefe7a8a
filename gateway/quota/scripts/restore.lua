-- Puts in one open attempt that the ledger knows: while an epoch is being built (not in force yet, so nobody else
-- looks), or, with the word 'adopt', in the epoch in force. An attempt that is known is left as it is.
if call[1] == 'adopt' then
  local away = cold()
  if away then
    return away
  end
end
local hold = call[2]
local record, rid, state, admitted, lease, blob = KEYS[hold[1]], hold[2], hold[3], hold[4], hold[5], hold[6]
local list = lines(blob, hold[7])
if redis.call('EXISTS', record) == 1 then
  return {'known'}
end
local now = clock()
redis.call('HSET', record, 'st', state, 'bl', blob, 'at', digits(admitted), 'ls', digits(lease))
if state == 'unknown' then
  redis.call('ZADD', KEYS[3], digits(now), rid)
else
  redis.call('ZADD', KEYS[2], digits(now + lease), rid)
end
for _, line in ipairs(list) do
  if line.kind == 'c' then
    if state == 'dispatched' then
      run(line.key, rid, lease, now)
    end
  elseif line.kind ~= 'g' then
    add(line, place(line, state), line.amount)
  end
end
return {'ok'}
