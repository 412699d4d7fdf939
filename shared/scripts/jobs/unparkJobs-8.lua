--[[
  Moves parked jobs of one queue on: to the queue, as BullMQ's promote does, or to another due time. A job that is not parked stays where
  it is, so the script may be repeated.

  KEYS[1] delayed  KEYS[2] wait  KEYS[3] prioritized  KEYS[4] meta  KEYS[5] active  KEYS[6] pc, BullMQ's counter for equal priorities
  KEYS[7] marker  KEYS[8] events
  ARGV[1] start of the queue's job keys
  ARGV[2] the due time from which on a delayed job is parked, in ms since the epoch
  ARGV[3…] job id, due time in ms since the epoch or 0 for now, job id, due time …; the first one runs first

  Returns one word per id: moved, missing, active (locked by a worker, which may be about to park it), or elsewhere: it is not parked.
]]
-- Out of memory, Redis refuses a script at its first write if that may allocate. PERSIST does not, and later writes are allowed.
redis.call('PERSIST', KEYS[1])

-- BullMQ's score of a delayed job: its due time, and one of 4,096 positions within that ms.
local UNIT = 0x1000

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local meta = redis.call('HMGET', KEYS[4], 'paused', 'concurrency')
local isPausedOrFull = meta[1] or (meta[2] and redis.call('LLEN', KEYS[5]) >= (tonumber(meta[2]) or math.huge))

-- Adds the job to its new list before it leaves the old one: an error, such as a key of the wrong type, leaves the job parked.
local function queue(id, job)
  local priority = tonumber(redis.call('HGET', job, 'priority') or '') or 0
  if priority > 0 then
    redis.call('ZADD', KEYS[3], priority * 0x100000000 + redis.call('INCR', KEYS[6]) % 0x100000000, id)
  else
    redis.call('LPUSH', KEYS[2], id)
  end
  redis.call('ZREM', KEYS[1], id)
  redis.call('HSET', job, 'delay', 0)
  if not isPausedOrFull then redis.call('ZADD', KEYS[7], 0, '0') end
  redis.call('XADD', KEYS[8], '*', 'event', 'waiting', 'jobId', id, 'prev', 'delayed')
end

local function delay(id, job, due)
  local first, last = due * UNIT, (due + 1) * UNIT - 1
  local latest = redis.call('ZREVRANGEBYSCORE', KEYS[1], last, first, 'WITHSCORES', 'LIMIT', 0, 1)
  redis.call('ZADD', KEYS[1], latest[2] and math.min(latest[2] + 1, last) or first, id)
  redis.call('HSET', job, 'delay', due - now)
  local soonest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  redis.call('ZADD', KEYS[7], math.floor(soonest[2] / UNIT), '1')
  redis.call('XADD', KEYS[8], '*', 'event', 'delayed', 'jobId', id, 'delay', string.format('%.0f', due))
end

local function unpark(id, due)
  local job = ARGV[1] .. id
  local known = redis.pcall('HEXISTS', job, 'timestamp')
  if known == 0 then return 'missing' end
  if known ~= 1 then return 'elsewhere' end -- not a hash
  local score = redis.call('ZSCORE', KEYS[1], id)
  if not score then return redis.call('EXISTS', job .. ':lock') == 1 and 'active' or 'elsewhere' end
  if tonumber(score) < ARGV[2] * UNIT then return 'elsewhere' end
  if due > now then delay(id, job, due) else queue(id, job) end
  return 'moved'
end

local results = {}
for i = 3, #ARGV, 2 do results[#results + 1] = unpark(ARGV[i], tonumber(ARGV[i + 1])) end
return results
