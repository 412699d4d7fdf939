--[[
  Replaces the input and options of a debounced task that has not started, and begins its delay again. The task keeps its id.

  KEYS[1] the deduplication key  KEYS[2] delayed  KEYS[3] wait  KEYS[4] prioritized  KEYS[5] marker  KEYS[6] events
  ARGV[1] start of the queue's job keys  ARGV[2] id
  ARGV[3] delay in ms  ARGV[4] priority  ARGV[5] data as JSON  ARGV[6] options as JSON

  Returns 1; 0 if the task has started, ended or been stopped, or no longer has the key.
]]
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
local job = ARGV[1] .. ARGV[2]
local known = redis.pcall('HMGET', job, 'timestamp', 'finishedOn', 'stop', 'tries', 'ats')
if known.err or not known[1] or known[2] or known[3] then return 0 end
if (tonumber(known[4] or '') or 0) + (tonumber(known[5] or '') or 0) > 0 then return 0 end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local due = now + tonumber(ARGV[3])
-- The first write: Redis refuses it when out of memory, before anything has changed. A lost job is restored by timestamp and delay.
redis.call('HSET', job, 'data', ARGV[5], 'opts', ARGV[6], 'priority', ARGV[4], 'delay', string.format('%.0f', due - tonumber(known[1])))
redis.call('PERSIST', KEYS[1])
if redis.call('ZREM', KEYS[2], ARGV[2]) == 0 and redis.call('ZREM', KEYS[4], ARGV[2]) == 0 then redis.call('LREM', KEYS[3], 1, ARGV[2]) end
-- BullMQ's score of a delayed job: its due time, and one of 4,096 positions within that ms.
local first, last = due * 0x1000, (due + 1) * 0x1000 - 1
local latest = redis.call('ZREVRANGEBYSCORE', KEYS[2], last, first, 'WITHSCORES', 'LIMIT', 0, 1)
redis.call('ZADD', KEYS[2], latest[2] and math.min(latest[2] + 1, last) or first, ARGV[2])
redis.call('XADD', KEYS[6], '*', 'event', 'delayed', 'jobId', ARGV[2], 'delay', string.format('%.0f', due))
local soonest = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
redis.call('ZADD', KEYS[5], math.floor(soonest[2] / 0x1000), '1')
return 1
