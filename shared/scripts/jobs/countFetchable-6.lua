--[[
  Counts the jobs of a queue that a worker could fetch now.

  It does a write without effect, so that Redis answers only if it would answer a fetch too: while Redis pauses or refuses writes,
  it still answers reads.

  KEYS[1] wait  KEYS[2] prioritized  KEYS[3] delayed  KEYS[4] meta  KEYS[5] active  KEYS[6] limiter
  ARGV[1] the time now, in ms since the epoch

  Returns the count; 0 while the queue is paused, at its global concurrency or at its rate limit.
]]
redis.call('PERSIST', KEYS[4])
local meta = redis.call('HMGET', KEYS[4], 'paused', 'concurrency', 'max')
if meta[1] then return 0 end
if meta[2] and redis.call('LLEN', KEYS[5]) >= tonumber(meta[2]) then return 0 end
if meta[3] and redis.call('PTTL', KEYS[6]) > 0 and tonumber(redis.call('GET', KEYS[6])) >= tonumber(meta[3]) then return 0 end
-- BullMQ scores a delayed job with its time × 4096, plus a number.
local due = redis.call('ZCOUNT', KEYS[3], 0, (tonumber(ARGV[1]) + 1) * 0x1000 - 1)
return redis.call('LLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2]) + due
