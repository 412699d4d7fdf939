--[[
  The lines of the limiter: how tasks acquire places and rates, wait for them and give them up. After records.lua and rate.lua.
]]
-- Tasks that a script lets on, so that it ends within a few ms; the rest is left in PENDING.
local budget = 50
-- How many holders of a place a blocked task looks at.
local FEW = 32

-- Tasks admitted by this script, flattened: id, queue, time of the start or 0.
local admitted = {}

-- What is set at run time wins over what the workers publish, and that over what the task's enqueuer knew.
local limits = {}
local function limitOf(step)
  if limits[step.id] == nil then
    local set = redis.call('HMGET', START .. 'set', step.id, string.gsub(step.limit, '#%d+$', '') .. ':*')
    local ofAll = step.keyed and tonumber(set[2] or '') or nil
    local limit = tonumber(set[1] or '') or ofAll or tonumber(redis.call('HGET', START .. 'defined', step.limit) or '')
    limits[step.id] = limit or tonumber(step.max) or 1
  end
  return limits[step.id]
end

local function count(record, by)
  for _, field in ipairs({ 'name:' .. record.name, 'queue:' .. record.queue }) do
    if redis.call('HINCRBY', WAITING, field, by) <= 0 then redis.call('HDEL', WAITING, field) end
  end
end

local function dropEmpty(id)
  if redis.call('EXISTS', lineOf(id)) == 1 then return end
  redis.call('ZREM', LINES, id)
  redis.call('ZREM', DUE, id)
end

local function join(id, record, step)
  record.state, record.line = 'line', step.id
  change(id, record)
  if redis.call('ZADD', lineOf(step.id), whole(scoreIn(record, step)), id) == 1 then count(record, 1) end
  redis.call('ZADD', LINES, 'NX', whole(now), step.id)
  if type(record.deadline) == 'number' then redis.call('ZADD', DEADLINES, whole(record.deadline), id) end
  if step.kind == 'rate' then
    local due = redis.call('ZSCORE', DUE, step.id)
    if not due or tonumber(due) > creditAt(step) then redis.call('ZADD', DUE, whole(creditAt(step)), step.id) end
  elseif redis.call('ZCARD', placesOf(step.id)) < limitOf(step) then
    freed[#freed + 1] = step.id
  end
end

local function leave(id, record)
  if not record.line then return end
  if redis.call('ZREM', lineOf(record.line), id) == 1 then count(record, -1) end
  dropEmpty(record.line)
  redis.call('ZREM', DEADLINES, id)
  record.line = nil
end

local function free(id, step)
  if step.kind ~= 'rate' and redis.call('ZREM', placesOf(step.id), id) == 1 then freed[#freed + 1] = step.id end
end

-- Makes a task that waits give up the place at one of its steps, and what it acquired after it, and line up for it again.
local function giveUp(id, record, at)
  leave(id, record)
  for i = #record.steps, at, -1 do free(id, record.steps[i]) end
  record.step = at
  if record.steps[at].keyed then record.turn = nil end
  join(id, record, record.steps[at])
end

-- Two tasks must not wait for each other's places: of a holder that waits and a task that needs its place, the older one gets it.
local function settleConflicts(id, record)
  local wanted, score = record.steps[record.step], scoreOf(record)
  local holds = false
  for i = 1, record.step - 1 do
    local step = record.steps[i]
    if step.kind ~= 'rate' then
      holds = true
      local first = redis.call('ZRANGE', lineOf(step.id), 0, 0)[1]
      local other = first and load(first)
      if other and scoreOf(other) < score then return giveUp(id, record, i) end
    end
  end
  if not holds or wanted.kind == 'rate' then return end
  for _, holder in ipairs(redis.call('ZRANGE', placesOf(wanted.id), 0, FEW - 1)) do
    local other = load(holder)
    if other and other.line and scoreOf(other) > score then
      for i, step in ipairs(other.steps) do
        if step.id == wanted.id and i < other.step then return giveUp(holder, other, i) end
      end
    end
  end
end

local function take(id, step, isFirst)
  local places = placesOf(step.id)
  if redis.call('ZSCORE', places, id) then return true end
  if redis.call('ZCARD', places) >= limitOf(step) then return false end
  if not isFirst and redis.call('EXISTS', lineOf(step.id)) == 1 then return false end
  redis.call('ZADD', places, string.format('%.3f', now), id)
  return true
end

-- Lines a task up for one of its steps. It holds nothing that comes later, which it may have left from an earlier start.
local function waitAt(id, record, at, step)
  record.step = at
  for i = #record.steps, at + 1, -1 do free(id, record.steps[i]) end
  join(id, record, step)
end

-- Acquires the steps of a task from its next one on. `first`: the key whose line the task has just headed. `passes`: whether it does not
-- wait behind others for its rates.
local function advance(id, record, first, passes)
  change(id, record)
  local firstRate, at, last, mayPay = nil, now, nil, true
  for i, step in ipairs(record.steps) do
    if step.kind == 'rate' then
      firstRate = firstRate or i
      if i == firstRate and i >= record.step then
        at, last, mayPay = rateAllows(record, passes)
        if not mayPay then
          waitAt(id, record, i, last)
          return settleConflicts(id, record)
        end
      end
    elseif i >= record.step and not take(id, step, step.id == first) then
      waitAt(id, record, i, step)
      return settleConflicts(id, record)
    end
  end
  record.step = #record.steps + 1
  if firstRate then
    at, last, mayPay = rateAllows(record, true)
    if not mayPay then
      -- Others have used the credit while this task waited for a place of the whole task, which it must not hold meanwhile.
      return waitAt(id, record, firstRate, last)
    end
    pay(id, record, at)
  end
  record.state, record.at = 'admitted', at > now and math.ceil(at) or 0
  admitted[#admitted + 1] = id
  admitted[#admitted + 1] = record.queue
  admitted[#admitted + 1] = whole(record.at)
end

-- Lets the first tasks of a line on, as far as there are places or credit.
local function pump(key)
  while true do
    local id = redis.call('ZRANGE', lineOf(key), 0, 0)[1]
    if not id then return dropEmpty(key) end
    local record = load(id)
    local step = nil
    if record and record.line == key then
      for _, one in ipairs(record.steps) do
        if one.id == key then step = one end
      end
    end
    if budget <= 0 then
      redis.call('SADD', PENDING, key)
      return
    end
    if step then
      if step.kind == 'rate' then
        local at, last, mayPay = rateAllows(record, false)
        if not mayPay and last.id == key then
          redis.call('ZADD', DUE, whole(at), key)
          return
        end
      elseif redis.call('ZCARD', placesOf(key)) >= limitOf(step) then
        return
      end
      budget = budget - 1
      leave(id, record)
      advance(id, record, key)
    else
      -- Its record was lost.
      budget = budget - 1
      redis.call('ZREM', lineOf(key), id)
    end
  end
end

local function drop(id, record)
  -- The next one may cost less.
  if record.line and string.sub(record.line, 1, 5) == 'rate:' then freed[#freed + 1] = record.line end
  leave(id, record)
  settlePayment(id, record, false)
  for _, step in ipairs(record.steps) do free(id, step) end
  redis.call('ZREM', ADMITTED, id)
  redis.call('HDEL', TASKS, id)
  records[id], changed[id] = false, nil
end

local function settle()
  local first = 1
  while first <= #freed do
    pump(freed[first])
    first = first + 1
  end
  freed = {}
end

-- Writes what has changed. Returns the tasks admitted by it, flattened, and 1 if keys with free places are left. The callers of `own` tasks
-- get their answer apart; the others are parked, and in ADMITTED until that is over.
local function finish(own)
  settle()
  for id in pairs(changed) do redis.call('HSET', TASKS, id, cjson.encode(records[id])) end
  local others = {}
  for i = 1, #admitted, 3 do
    local record = records[admitted[i]]
    if record and record.state == 'admitted' and not (own and own[admitted[i]]) then
      redis.call('ZADD', ADMITTED, whole(now), admitted[i])
      for j = i, i + 2 do others[#others + 1] = admitted[j] end
    end
  end
  return others, redis.call('EXISTS', PENDING)
end

-- Out of memory, Redis refuses a script at its first write if that may allocate. PERSIST does not, and later writes are allowed.
local function allowFullMemory() redis.call('PERSIST', TASKS) end
