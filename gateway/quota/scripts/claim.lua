-- Whether the caller may build an epoch; one at a time, for so many ms.
if redis.call('SET', KEYS[4], text(), 'NX', 'PX', text()) then
  return {'ok'}
end
return {'taken'}
