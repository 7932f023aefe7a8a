-- Ids of attempts: whose lease is out (at most so many), or all that are not ended (-1).
local away = cold()
if away then
  return away
end
local now, most = clock(), call[1]
if most >= 0 then
  return {'ok', now, redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', digits(now), 'LIMIT', 0, most)}
end
local all = redis.call('ZRANGE', KEYS[2], 0, -1)
for _, rid in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  all[#all + 1] = rid
end
return {'ok', now, all}
