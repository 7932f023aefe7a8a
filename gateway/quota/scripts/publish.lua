-- Puts a finished epoch in force, unless a newer one is, or is being built, or this one was not begun here: a server
-- that has forgotten its beginning has forgotten its sums.
local current = tonumber(redis.call('HGET', KEYS[1], 'n') or -1) or -1
local building = tonumber(redis.call('HGET', KEYS[1], 'f') or -1)
local number = tonumber(ARGV[1])
if current == number then
  return {'ok'}
end
if current > number or building ~= number then
  return {'behind'}
end
redis.call('HSET', KEYS[1], 'n', ARGV[1], 'hz', digits(clock() + 2000))
return {'ok'}
