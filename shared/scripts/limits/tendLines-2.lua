--[[
  Lets tasks on whose time has come, and repairs what a crash left: a bounded part at each call, by one process of the fleet at a time.

  KEYS[1] tasks with limits  KEYS[2] queues of live tasks  ARGV[1] start of the limiter's keys; see records.lua
  ARGV[2] how long a task may be unregistered, in ms  ARGV[3] time of each turn in ms; 0 to work whether or not another process did

  Returns the admitted tasks, those that were admitted a while ago and may still be parked among them, and whether keys with free places
  are left.
]]
allowFullMemory()

local GRACE, TURN = tonumber(ARGV[2]), tonumber(ARGV[3])
-- After this time an admitted task may be still parked, because the process that admitted it died.
local UNPARKED_MS = 2000
if TURN > 0 and not redis.call('SET', START .. 'tended', '1', 'PX', TURN, 'NX') then return { {}, 0 } end

local function some(key, last, most) return redis.call('ZRANGEBYSCORE', key, '-inf', whole(last), 'LIMIT', 0, most) end

for _, key in ipairs(redis.call('SPOP', PENDING, 10)) do freed[#freed + 1] = key end
for _, key in ipairs(some(DUE, now + HORIZON, 10)) do freed[#freed + 1] = key end

for _, id in ipairs(some(DEADLINES, now - 1, 20)) do
  local record = load(id)
  if record and record.line then
    leave(id, record)
    record.state, record.at = 'admitted', 0
    change(id, record)
    redis.call('ZADD', ADMITTED, 0, id)
  else
    redis.call('ZREM', DEADLINES, id)
  end
end
settle()

for _, id in ipairs(some(ADMITTED, now - UNPARKED_MS, 50)) do
  local record = load(id)
  if record and record.state == 'admitted' then
    redis.call('ZADD', ADMITTED, whole(now), id)
    admitted[#admitted + 1] = id
    admitted[#admitted + 1] = record.queue
    admitted[#admitted + 1] = whole(tonumber(record.at) or 0)
  else
    redis.call('ZREM', ADMITTED, id)
  end
end

-- The sweep. Its cursors outlive this script; a lost one begins anew.
local SWEEP = START .. 'sweep'
local function cursorOf(name) return redis.call('HGET', SWEEP, name) or '0' end
local function goOnAt(name, cursor)
  if tonumber(cursor) == 0 then redis.call('HDEL', SWEEP, name) else redis.call('HSET', SWEEP, name, cursor) end
end

local function sweepTasks()
  local batch = redis.call('HSCAN', TASKS, cursorOf('tasks'), 'COUNT', 30)
  goOnAt('tasks', batch[1])
  for i = 1, math.min(#batch[2], 100), 2 do
    local id = batch[2][i]
    local record = load(id)
    if not record then
      -- A record that cannot be read: the task's worker makes a new one at its start.
      redis.call('HDEL', TASKS, id)
    elseif redis.call('HEXISTS', KEYS[2], id) == 0 and now - (tonumber(record.since) or 0) > GRACE then
      drop(id, record)
    elseif record.state == 'line' then
      local step = record.steps[record.step]
      local key = record.line or (step and step.id)
      if key and not redis.call('ZSCORE', lineOf(key), id) then
        record.line = nil
        record.step = 1
        advance(id, record, nil)
      elseif key and record.step > 1 then
        -- It may have waited under another limit, with which it was in nobody's way.
        settleConflicts(id, record)
      end
    elseif record.state == 'running' then
      for _, step in ipairs(record.steps) do
        if step.kind == 'place' then redis.call('ZADD', placesOf(step.id), 'NX', string.format('%.3f', now), id) end
      end
    end
  end
end

local LINES_AT_ONCE = 20
local function sweepLines()
  local first = tonumber(cursorOf('lines')) or 0
  local keys = redis.call('ZRANGE', LINES, first, first + LINES_AT_ONCE - 1)
  goOnAt('lines', #keys < LINES_AT_ONCE and 0 or first + #keys)
  for _, key in ipairs(keys) do
    for _, id in ipairs(redis.call('ZRANGE', placesOf(key), 0, FEW - 1)) do
      if redis.call('HEXISTS', TASKS, id) == 0 then redis.call('ZREM', placesOf(key), id) end
    end
    -- By chance: those that will start soon may come before a lost one in any order.
    for _, id in ipairs(redis.call('ZRANDMEMBER', paidOf(key), FEW)) do
      local record = id ~= '' and load(id)
      if id ~= '' and not (record and record.paid) then forget(key, id) end
    end
    freed[#freed + 1] = key
  end
end

sweepTasks()
sweepLines()
if redis.call('HLEN', TASKS) == 0 then redis.call('DEL', WAITING) end
return { finish() }
