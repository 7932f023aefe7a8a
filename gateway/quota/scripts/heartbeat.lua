-- Extends one lease.
local away = cold()
if away then
  return away
end
local record, rid, lease = KEYS[call[1]], call[2], call[3]
local state = redis.call('HGET', record, 'st')
if state ~= 'held' and state ~= 'dispatched' then
  return {'lost', state or ''}
end
local now = clock()
redis.call('ZADD', KEYS[2], digits(now + lease), rid)
for i = 5, #KEYS do
  run(KEYS[i], rid, lease, now)
end
return {'ok'}
