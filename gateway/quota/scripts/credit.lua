-- Sets what was given back in windows and buckets, beside their sums. A word older than the last one is ignored.
local away = cold()
if away then
  return away
end
local version, latest = call[1], KEYS[call[2]]
if version < tonumber(redis.call('GET', latest) or 0) then
  return {'older'}
end
local now = clock()
for _, line in ipairs(lines(call[3], call[4])) do
  redis.call('HSET', line.key, 'c' .. line.slot, digits(line.amount))
  -- A rolling counter lives as long as its newest bucket, which this one need not be.
  if line.expires >= 0 and now + redis.call('PTTL', line.key) < line.expires then
    redis.call('PEXPIREAT', line.key, digits(line.expires))
  end
end
redis.call('SET', latest, digits(version))
return {'ok'}
