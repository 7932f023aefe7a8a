-- Put in front of every script. Amounts are whole numbers below 2^53, which Lua's doubles hold exactly; time is ms.
-- KEYS[1] epoch, KEYS[2] leases by end, KEYS[3] unknown by time, then what the script names by place. ARGV[1] is
-- the epoch that the caller believes in, ARGV[2] everything else as JSON; wire.py makes both.

local call = cjson.decode(ARGV[2])
local KEEP = 3600000
local END_USER = 32 * 86400000
local SLACK = 60000
local BUCKETS = 60
local RATE_UNIT = 60000
local SETTLING = {held = 'h', dispatched = 'h', unknown = 'u', settled = 's'}
local COUNTED = {held = 'h', dispatched = 's', unknown = 's', settled = 's'}
local ALLOWED = {
  settled = {dispatched = true, unknown = true},
  released = {held = true, dispatched = true, unknown = true},
  unknown = {held = true, dispatched = true},
}

local function digits(number)
  return string.format('%.0f', number)
end

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- nil, or what to answer a caller whose epoch is not that of the counters.
local function cold()
  local epoch = redis.call('HGET', KEYS[1], 'n')
  if epoch == ARGV[1] then
    return nil
  end
  return {'cold', epoch or ''}
end

-- The lines of a hold: rows as holds.py writes them, the places of their keys, and what to settle at.
local function lines(blob, places, actual)
  local list = {}
  for i, row in ipairs(cjson.decode(blob)) do
    list[i] = {
      key = KEYS[places[i]], kind = row[2], settles = row[3] == 'spend' or row[3] == 'tokens', amount = row[4],
      slot = row[2] == 'b' and row[5] or '', param = row[6], expires = row[7],
      actual = actual and actual[i] or row[4],
    }
  end
  return list
end

local function place(line, state)
  if line.settles then
    return SETTLING[state]
  end
  return COUNTED[state]
end

local function weight(line, state)
  if state == 'settled' and line.settles then
    return line.actual
  end
  return line.amount
end

local function add(line, where, amount)
  if amount == 0 then
    return
  end
  local sum = redis.call('HINCRBY', line.key, where .. line.slot, digits(amount))
  if sum < 0 then
    redis.call('HSET', line.key, where .. line.slot, '0')
  elseif sum == amount and line.expires >= 0 then
    redis.call('PEXPIREAT', line.key, digits(line.expires))
  end
end

local function debt_of(key, rate, now)
  local kept = redis.call('HMGET', key, 'd', 't')
  if not kept[1] then
    return 0
  end
  return math.max(tonumber(kept[1]) - rate * math.max(now - tonumber(kept[2]), 0), 0)
end

local function keep_debt(key, debt, rate, now)
  redis.call('HSET', key, 'd', digits(debt), 't', digits(now))
  redis.call('PEXPIRE', key, digits(math.ceil(debt / rate) + 60000))
end

-- What was not used goes back as far as it cannot have decayed; what was used beyond comes on top.
local function correct_rate(line, unspent, to, admitted, now)
  local unused = 0
  if to == 'released' then
    if unspent or line.settles then
      unused = line.amount
    end
  elseif to == 'settled' then
    unused = line.amount - weight(line, to)
  end
  if unused == 0 or (unused > 0 and string.sub(line.key, -7) == '|shadow') then
    return
  end
  local debt = debt_of(line.key, line.param, now)
  if unused > 0 then
    local back = unused * RATE_UNIT - line.param * math.max(now - admitted, 0)
    debt = math.max(debt - math.max(back, 0), 0)
  else
    debt = debt - unused * RATE_UNIT
  end
  keep_debt(line.key, debt, line.param, now)
end

local function run(key, rid, lease, now)
  redis.call('ZADD', key, digits(now + lease), rid)
  redis.call('PEXPIRE', key, digits(lease + SLACK))
end

-- unsent: it is certain that no call was made.
local function move(rid, list, before, to, admitted, now, unsent)
  for _, line in ipairs(list) do
    if line.kind == 'c' then
      if to ~= 'dispatched' then
        redis.call('ZREM', line.key, rid)
      end
    elseif line.kind == 'g' then
      correct_rate(line, before == 'held' or unsent, to, admitted, now)
    else
      local from = place(line, before)
      -- A request or an image that was dispatched stays counted.
      if line.settles or from ~= 's' or unsent then
        local into, amount = place(line, to), weight(line, to)
        if from ~= into or amount ~= line.amount then
          if from then
            add(line, from, -line.amount)
          end
          if into then
            add(line, into, amount)
          end
        end
      end
    end
  end
end

local function remember(record, rid, state, blob, admitted, lease, now)
  redis.call('ZREM', KEYS[2], rid)
  if state == 'unknown' then
    redis.call('HSET', record, 'st', state, 'bl', blob, 'at', digits(admitted), 'ls', digits(lease))
    redis.call('ZADD', KEYS[3], digits(now), rid)
  else
    redis.call('ZREM', KEYS[3], rid)
    redis.call('DEL', record)
    redis.call('HSET', record, 'st', state)
    redis.call('PEXPIRE', record, digits(KEEP))
  end
end

-- Ends an attempt. Returns what happened (ok, same, stale, other), the state before and the state after; for
-- 'other' the stored lines, which are not those of the caller. by_ledger: the ledger's word also settles a hold
-- whose dispatch was lost.
local function finish(end_, by_ledger, now)
  local record, rid, to = KEYS[end_[1]], end_[2], end_[3]
  local admitted, lease, blob = end_[4], end_[5], end_[6]
  local list = lines(blob, end_[7], end_[8])
  local kept = redis.call('HMGET', record, 'st', 'bl')
  local before = kept[1]
  if not before then
    local horizon, epoch = tonumber(redis.call('HGET', KEYS[1], 'hz')), end_[9]
    local older = epoch > 0 and epoch < tonumber(ARGV[1])
    if older or admitted < horizon or admitted <= now - KEEP then
      return {'stale', '', ''}
    end
    for _, line in ipairs(list) do
      local into = place(line, to)
      if into and (line.kind == 'w' or line.kind == 'b') then
        add(line, into, weight(line, to))
      end
    end
    remember(record, rid, to, blob, admitted, lease, now)
    return {'ok', '', to}
  end
  local from = before
  if by_ledger and to == 'settled' and before == 'held' then
    from = 'dispatched'
  end
  if not ALLOWED[to][from] then
    return {'same', before, before}
  end
  if kept[2] ~= blob then
    return {'other', kept[2], before}
  end
  if from ~= before then
    move(rid, list, before, from, admitted, now)
  end
  move(rid, list, from, to, admitted, now, not end_[10])
  remember(record, rid, to, blob, admitted, lease, now)
  return {'ok', before, to}
end

local function rolling(gate, need)
  local current = tonumber(gate.slot)
  local all = redis.call('HGETALL', gate.key)
  local sums, totals, numbers, old = {s = 0, h = 0, u = 0}, {}, {}, {}
  for i = 1, #all, 2 do
    local where, number = string.sub(all[i], 1, 1), tonumber(string.sub(all[i], 2))
    if number < current - 2 * BUCKETS then
      old[#old + 1] = all[i]  -- one window longer than it counts: the clock may be set back
    elseif number >= current - BUCKETS then
      local amount = tonumber(all[i + 1])
      if where == 'c' then  -- what credits gave back
        where, amount = 's', -amount
      end
      if not totals[number] then
        totals[number] = 0
        numbers[#numbers + 1] = number
      end
      totals[number] = totals[number] + amount
      sums[where] = sums[where] + amount
    end
  end
  if #old > 0 then
    redis.call('HDEL', gate.key, unpack(old))
  end
  local free, used = -1, sums.s + sums.h + sums.u
  local amount = gate.limit >= 0 and gate.limit or gate.trial
  if used + need > amount then
    table.sort(numbers)
    for _, number in ipairs(numbers) do
      used = used - totals[number]
      if used + need <= amount then
        free = (number + BUCKETS + 1) * gate.param
        break
      end
    end
  end
  return {sums.s, sums.h, sums.u, free}
end

-- settled less what credits gave back, held, unknown, and when a rolling window has room again. Of a rate: its debt.
local function tally(gate, need, now)
  if gate.kind == 'w' then
    local kept = redis.call('HMGET', gate.key, 's', 'h', 'u', 'c')
    local settled = tonumber(kept[1] or 0) - tonumber(kept[4] or 0)
    return {settled, tonumber(kept[2] or 0), tonumber(kept[3] or 0), -1}
  elseif gate.kind == 'g' then
    return {debt_of(gate.key, gate.param, now), 0, 0, -1}
  elseif gate.kind == 'c' then
    -- A lapsed lease keeps its place until it is reaped, so that the ledger knows of the end before the place is
    -- given away: else a rebuild would find both calls running.
    redis.call('ZREMRANGEBYSCORE', gate.key, '-inf', digits(now - SLACK))
    return {0, redis.call('ZCARD', gate.key), 0, -1}
  end
  return rolling(gate, need)
end

-- limit and trial are -1 where there is none.
local function gates(rows)
  local list = {}
  for i, row in ipairs(rows) do
    list[i] = {
      key = KEYS[row[1]], kind = row[2], limit = row[3], trial = row[4],
      from = row[5], till = row[6], slot = row[7], param = row[8],
    }
  end
  return list
end
