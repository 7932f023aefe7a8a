-- held -> dispatched, once; the same caller's repetition (same token) is answered as the first time.
local away = cold()
if away then
  return away
end
local record, rid, lease, blob, token = KEYS[call[1]], call[2], call[3], call[4], call[6]
local list = lines(blob, call[5])
local kept = redis.call('HMGET', record, 'st', 'bl', 'tk', 'at')
if kept[1] == 'dispatched' and kept[3] == token then
  return {'ok'}
end
if kept[1] ~= 'held' then
  return {'lost', kept[1] or ''}
end
if kept[2] ~= blob then
  return {'other', kept[2]}
end
local now = clock()
move(rid, list, 'held', 'dispatched', tonumber(kept[4]), now)
redis.call('HSET', record, 'st', 'dispatched', 'tk', token)
redis.call('ZADD', KEYS[2], digits(now + lease), rid)
for _, line in ipairs(list) do
  if line.kind == 'c' then
    run(line.key, rid, lease, now)
  end
end
return {'ok'}
