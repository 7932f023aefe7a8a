-- Ends earlier attempts, then takes everything for all new ones, or nothing.
local away = cold()
if away then
  return away
end

local now = clock()
if math.abs(now - call[1]) > 2000 then
  return {'skew', now}
end

local asked = gates(call[2])
for _, gate in ipairs(asked) do
  if now < gate.from or (gate.till >= 0 and now >= gate.till) then
    return {'skew', now}
  end
end

for _, end_ in ipairs(call[3]) do
  local outcome = finish(end_, false, now)
  if outcome[1] == 'other' then
    return {'other', now}
  end
end

local fresh, known, need = {}, {}, {}
for i, row in ipairs(call[4]) do
  local wish = {record = KEYS[row[1]], rid = row[2], lease = row[3], blob = row[4], lines = lines(row[4], row[5])}
  local kept = redis.call('HMGET', wish.record, 'st', 'bl', 'at', 'ls')
  if kept[1] then
    known[i] = {kept[1], kept[2] or '', kept[3] or '', kept[4] or ''}
  else
    known[i] = {'', '', '', ''}
    fresh[#fresh + 1] = wish
    for _, line in ipairs(wish.lines) do
      need[line.key] = (need[line.key] or 0) + line.amount
    end
  end
end

-- End users whose counters this call would be the first to make.
local users, strangers = KEYS[call[5][1]], {}
if #fresh > 0 then
  for _, user in ipairs(call[5][2]) do
    if not redis.call('ZSCORE', users, user) then
      strangers[#strangers + 1] = user
    end
  end
end
if #strangers > 0 and redis.call('ZCARD', users) + #strangers > call[5][3] then
  redis.call('ZREMRANGEBYSCORE', users, '-inf', digits(now - END_USER))
  if redis.call('ZCARD', users) + #strangers > call[5][3] then
    return {'crowded', now}
  end
end

local tallies, refused, trials = {}, false, {}
for i, gate in ipairs(asked) do
  local wanted = need[gate.key] or 0
  local found = tally(gate, wanted, now)
  local unit = gate.kind == 'g' and RATE_UNIT or 1
  local after = found[1] + found[2] + found[3] + wanted * unit
  if wanted > 0 and gate.limit >= 0 and after > gate.limit * unit then
    refused = true
  end
  if wanted > 0 and gate.trial >= 0 and after > gate.trial * unit then
    trials[gate.key] = true
  end
  found[5] = wanted
  tallies[i] = found
end
if refused then
  return {'refused', now, tallies}
end

for _, user in ipairs(#fresh > 0 and call[5][2] or {}) do
  redis.call('ZADD', users, digits(now), user)
end
for _, wish in ipairs(fresh) do
  redis.call('HSET', wish.record, 'st', 'held', 'bl', wish.blob, 'at', digits(now), 'ls', digits(wish.lease))
  redis.call('ZADD', KEYS[2], digits(now + wish.lease), wish.rid)
  for _, line in ipairs(wish.lines) do
    if line.kind == 'c' then
      run(line.key, wish.rid, wish.lease, now)
    elseif line.kind ~= 'g' then
      add(line, 'h', line.amount)
    end
  end
end
for i, gate in ipairs(asked) do
  -- A rate on trial that would have refused takes nothing: it shows what the limit would do.
  if gate.kind == 'g' and (need[gate.key] or 0) > 0 and not trials[gate.key] then
    keep_debt(gate.key, tallies[i][1] + need[gate.key] * RATE_UNIT, gate.param, now)
  end
end
return {'ok', now, tallies, known}
