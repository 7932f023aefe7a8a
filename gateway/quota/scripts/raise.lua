-- Raises settled sums to the ledger's, never lowers one; answers with what stood there. as_of >= 0: only in the
-- epoch in force, and attempts admitted before it that nobody has seen are then in the sums.
local as_of = call[1]
if as_of >= 0 then
  local away = cold()
  if away then
    return away
  end
end
local was = {}
for i, line in ipairs(lines(call[2], call[3])) do
  local stood = tonumber(redis.call('HGET', line.key, 's' .. line.slot) or 0)
  was[i] = stood
  if line.amount > stood then
    add(line, 's', line.amount - stood)
  end
end
if as_of > tonumber(redis.call('HGET', KEYS[1], 'hz') or 0) then
  redis.call('HSET', KEYS[1], 'hz', digits(as_of))
end
return {'ok', was}
