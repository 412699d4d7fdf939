--[[
  The rates of the limiter: token buckets by GCRA, in Redis' time. After records.lua.

  rate:<id> when the bucket is full again, in ms, and the ms of a token
  paid:<id> tasks that have paid and not started, scored by cost, and under '' the sum
]]
-- A task pays at most this long before its start, in ms: the start is reserved.
local HORIZON = 1000

local function bucketOf(id) return START .. 'rate:' .. id end
local function paidOf(id) return START .. 'paid:' .. id end

local function positive(value, default)
  local number = tonumber(value)
  return number and number > 0 and number < 1e15 and number or default
end

local rates = {}
local function rateOf(step)
  if not rates[step.id] then
    local readable, rate = pcall(cjson.decode, redis.call('HGET', START .. 'defined', step.limit) or '')
    if not readable or type(rate) ~= 'table' then rate = step.max end
    if type(rate) ~= 'table' then rate = {} end
    local limit, per = positive(rate[1], 1), positive(rate[2], 1000)
    rates[step.id] = { interval = per / limit, burst = positive(rate[3], 1), limit = limit, horizon = math.min(HORIZON, per) }
  end
  return rates[step.id]
end

-- Returns when the bucket is full again. A token that is paid for does not come back before its start: tasks that wait for a slot would
-- otherwise start at once later, beside a full bucket.
local function arrivalOf(step)
  local interval = rateOf(step).interval
  local stored, storedInterval = string.match(redis.call('GET', bucketOf(step.id)) or '', '^(%S+) (%S+)$')
  local arrival = positive(stored, 0)
  -- Under another limit since then, the bucket lacks as many tokens as before.
  if arrival > now then arrival = now + (arrival - now) / positive(storedInterval, interval) * interval end
  local paid = positive(redis.call('ZSCORE', paidOf(step.id), '') or '', 0)
  return paid > 0 and math.max(arrival, now + paid * interval) or arrival
end

-- Returns when a task has credit for its cost, or for a full bucket if it costs more.
local function creditAt(step)
  local rate = rateOf(step)
  return arrivalOf(step) - (rate.burst - math.min(step.cost or 1, rate.burst)) * rate.interval
end

-- Takes tokens from the bucket. `from`: when the start is; 0 for a correction, which may give tokens back.
local function charge(step, cost, from)
  local interval = rateOf(step).interval
  local arrival = math.min(math.max(arrivalOf(step), from) + cost * interval, 1e14)
  if arrival <= now then
    redis.call('DEL', bucketOf(step.id))
  else
    local bucket = string.format('%.3f %.17g', arrival, interval)
    redis.call('SET', bucketOf(step.id), bucket, 'PX', whole(math.ceil(arrival - now) + 1000))
  end
end

local function pay(id, record, at)
  for _, step in ipairs(record.steps) do
    if step.kind == 'rate' then
      local cost = step.cost or 1
      charge(step, cost, at)
      if redis.call('ZADD', paidOf(step.id), cost, id) == 1 then redis.call('ZINCRBY', paidOf(step.id), cost, '') end
    end
  end
  record.paid = true
end

local function forget(key, id)
  local cost = redis.call('ZSCORE', paidOf(key), id)
  if not cost then return end
  redis.call('ZREM', paidOf(key), id)
  if redis.call('ZCARD', paidOf(key)) <= 1 then redis.call('DEL', paidOf(key)) else redis.call('ZINCRBY', paidOf(key), -cost, '') end
end

-- Settles what a task has paid: for its start, or, if it will not start, by giving it back.
local function settlePayment(id, record, isStart)
  if not record.paid then return end
  for _, step in ipairs(record.steps) do
    if step.kind == 'rate' and redis.call('ZSCORE', paidOf(step.id), id) then
      charge(step, isStart and 0 or -(step.cost or 1), 0)
      forget(step.id, id)
      if redis.call('EXISTS', lineOf(step.id)) == 1 then freed[#freed + 1] = step.id end
    end
  end
  record.paid = false
end

-- Returns when all rates of a task have credit, the rate that has it last (nil without a rate), and whether the task may pay now. A task
-- waits behind the tasks before it in the line of any of its rates, except if it passes them.
local function rateAllows(record, passes)
  local at, last, horizon = now, nil, HORIZON
  for _, step in ipairs(record.steps) do
    if step.kind == 'rate' then
      local credit = creditAt(step)
      horizon = math.min(horizon, rateOf(step).horizon)
      local head = passes and {} or redis.call('ZRANGE', lineOf(step.id), 0, 0, 'WITHSCORES')
      if head[2] and tonumber(head[2]) < scoreIn(record, step) then credit = math.max(credit, now + HORIZON + 1) end
      if not last or credit > at then last = step end
      at = math.max(at, credit)
    end
  end
  return at, last, at <= now + horizon
end
