--[[
  Puts jobs that are in none of a queue's lists back into place, after a key was deleted, renamed or evicted, or a backup was
  partly restored. BullMQ moves jobs atomically, so a job is always in exactly one list, and a job in none is lost.

  A job with an end time goes to completed or failed, a locked one to active, one with open children to waiting-children, one that is
  not yet due to delayed, and any other to the front of the queue, or of its priority. A job with a stop is left to the stop.

  A job that goes back to the queue although a run of it began and has no record counts as lost with its worker, as in BullMQ's check
  for stalled jobs: which worker, if any, still runs it is unknown.

  KEYS[1] completed  KEYS[2] failed  KEYS[3] delayed  KEYS[4] prioritized  KEYS[5] wait  KEYS[6] active
  KEYS[7] waiting-children  KEYS[8] paused, where BullMQ up to version 4 kept the waiting jobs of a paused queue
  KEYS[9] meta  KEYS[10] marker  KEYS[11] events
  ARGV[1] start of the queue's job keys
  ARGV[2…] unique job ids; of several waiting ones, the last runs first

  Returns one word per id: missing, unreadable (its key is not a hash), placed (it is in a list), stopped, or its new place:
  completed, failed, active, waiting-children, delayed or waiting. Returns an empty array if a key has the wrong type, because
  lost jobs are then unknown.
]]
-- Out of memory, Redis refuses a script at its first write if that may allocate. PERSIST does not, and later writes are allowed.
redis.call('PERSIST', KEYS[1])

-- The active list first: it is short.
local LISTS, SORTED_SETS = { KEYS[6], KEYS[5], KEYS[8] }, { KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[7] }
for kind, keys in pairs({ list = LISTS, zset = SORTED_SETS, hash = { KEYS[9] }, stream = { KEYS[11] } }) do
  for _, key in ipairs(keys) do
    local found = redis.call('TYPE', key).ok
    if found ~= kind and found ~= 'none' then return {} end
  end
end

-- For up to FEW ids, or in a list beyond LONGEST, searching for each is cheaper than reading the list.
local FEW, LONGEST = 8, 100000
-- The last ms of a JavaScript date, and BullMQ's lowest priority.
local LAST_MS, LOWEST_PRIORITY = 8.64e15, 2097152

local function membersOf(key)
  if #ARGV - 1 <= FEW or redis.call('LLEN', key) > LONGEST then return nil end
  local members = {}
  for _, id in ipairs(redis.call('LRANGE', key, 0, -1)) do members[id] = true end
  return members
end
local members = {}
for _, key in ipairs(LISTS) do members[key] = membersOf(key) end

local function isPlaced(id)
  for _, key in ipairs(SORTED_SETS) do
    if redis.call('ZSCORE', key, id) then return true end
  end
  for _, key in ipairs(LISTS) do
    if members[key] then
      if members[key][id] then return true end
    elseif redis.call('LPOS', key, id) then
      return true
    end
  end
  return false
end

-- 0 for anything but a number from 0 to the limit: another program may have written it.
local function number(text, limit)
  local value = tonumber(text or '') or 0
  return value >= 0 and value <= limit and value or 0
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function tell(event, id, ...)
  redis.call('XADD', KEYS[11], '*', 'event', event, 'jobId', id, ...)
end

local function mark()
  local meta = redis.call('HMGET', KEYS[9], 'paused', 'concurrency')
  local isFull = meta[2] and redis.call('LLEN', KEYS[6]) >= number(meta[2], LAST_MS)
  if not meta[1] and not isFull then redis.call('ZADD', KEYS[10], 0, '0') end
end

-- BullMQ's score of a delayed job: its due time, and one of 4,096 positions within that ms.
local function delay(id, due)
  local first, last = due * 0x1000, (due + 1) * 0x1000 - 1
  local latest = redis.call('ZREVRANGEBYSCORE', KEYS[3], last, first, 'WITHSCORES', 'LIMIT', 0, 1)
  redis.call('ZADD', KEYS[3], latest[2] and math.min(latest[2] + 1, last) or first, id)
  tell('delayed', id, 'delay', string.format('%.0f', due))
  local soonest = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
  redis.call('ZADD', KEYS[10], math.floor(soonest[2] / 0x1000), '1')
  return 'delayed'
end

local function wait(id, priority)
  if priority > 0 then redis.call('ZADD', KEYS[4], priority * 0x100000000, id) else redis.call('RPUSH', KEYS[5], id) end
  tell('waiting', id)
  mark()
  return 'waiting'
end

local function restore(id)
  local job = ARGV[1] .. id
  local known = redis.pcall('HMGET', job, 'timestamp', 'finishedOn', 'returnvalue', 'stop', 'delay', 'processedOn', 'priority', 'ats', 'atm', 'stc')
  if known.err then return 'unreadable' end
  if not known[1] then return 'missing' end
  if isPlaced(id) then return 'placed' end
  local finishedOn = number(known[2], LAST_MS)
  if finishedOn > 0 then
    redis.call('ZADD', known[3] and KEYS[1] or KEYS[2], finishedOn, id)
    return known[3] and 'completed' or 'failed'
  end
  if known[4] then return 'stopped' end
  if redis.call('EXISTS', job .. ':lock') == 1 then
    redis.call('LPUSH', KEYS[6], id)
    return 'active'
  end
  local children = redis.pcall('SCARD', job .. ':dependencies')
  if type(children) == 'number' and children > 0 then
    redis.call('ZADD', KEYS[7], now, id)
    tell('waiting-children', id)
    return 'waiting-children'
  end
  -- The delay counts from the enqueue, or from the end of the last attempt, which is after its start.
  local since = math.max(number(known[1], LAST_MS), number(known[6], LAST_MS))
  local due = since + number(known[5], LAST_MS)
  if number(known[5], LAST_MS) > 0 and due > now and due <= LAST_MS then return delay(id, due) end
  redis.call('HSET', job, 'delay', 0)
  -- Ended attempts, and earlier losses, are started ones too. A delayed job was not running.
  local mayHaveRun = number(known[5], LAST_MS) == 0 and wholeNumber(known[8]) > wholeNumber(known[9]) + wholeNumber(known[10])
  if mayHaveRun and noteLoss(job, now) == 'noted' then redis.call('HINCRBY', job, 'stc', 1) end
  return wait(id, math.floor(number(known[7], LOWEST_PRIORITY)))
end

local results = {}
for i = 2, #ARGV do results[i - 1] = restore(ARGV[i]) end
return results
