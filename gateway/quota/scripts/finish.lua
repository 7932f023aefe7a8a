-- One attempt's end. Whose word it is: what the owner says (own), what the ledger says (ledger), or what the
-- ledger says of an attempt whose lease must be out (lapsed).
local away = cold()
if away then
  return away
end
local now, word, end_ = clock(), call[1], call[2]
if word == 'lapsed' then
  local lease = redis.call('ZSCORE', KEYS[2], end_[2])
  if not lease or tonumber(lease) > now then
    return {'same', '', ''}
  end
end
return finish(end_, word ~= 'own', now)
