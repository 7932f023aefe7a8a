-- Where counters stand.
local away = cold()
if away then
  return away
end
local now, tallies = clock(), {}
for i, gate in ipairs(gates(call)) do
  tallies[i] = tally(gate, 0, now)
end
return {'ok', now, tallies}
