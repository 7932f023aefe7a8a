-- One attempt's end. The second argument: what the owner says (own), what the ledger says (ledger), or what the
-- ledger says of an attempt whose lease must be out (lapsed).
local away = cold()
if away then
  return away
end
local now, word = clock(), text()
if word == 'lapsed' then
  local lease = redis.call('ZSCORE', KEYS[2], ARGV[4])
  if not lease or tonumber(lease) > now then
    return {'same', '', ''}
  end
end
return finish(word ~= 'own', now)
