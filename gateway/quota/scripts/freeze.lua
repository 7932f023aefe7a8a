-- Nothing is in force any more: an epoch is about to be built from the ledger.
local building = tonumber(redis.call('HGET', KEYS[1], 'f') or -1)
if building < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'n', '', 'f', ARGV[1])
end
return {'ok'}
