--[[
  Clears the remains of the last run of an ended job before a retry: the stop with BullMQ's deferred failure, which would fail the
  next run before it starts; the progress; the stall count; the mark of a skipped task; the entry in the index of its retention. The
  records of attempts stay: the runs so far move from BullMQ's `ats`, which the retry removes, to `tries`.

  The task takes its deduplication key again, unless another task has it by now.

  Leaves any other job alone: one that was retried meanwhile may have been stopped again since.

  KEYS[1] failed, or completed for a skipped job  KEYS[2] job
  ARGV[1] job id
  ARGV[2] the job's new options as JSON; '' to keep them
  ARGV[3] '1' if the task stands for its deduplication key while it is live

  Returns 1 if the job is in that set, else 0.
]]
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end -- HSET would create a job of options only
local jobs = string.sub(KEYS[2], 1, -#ARGV[1] - 1)
redis.call('HDEL', KEYS[2], 'stop', 'stop_via', 'defa', 'progress', 'stc', 'given_up', 'unrun', 'put_off', 'skipped')
local runs = redis.call('HMGET', KEYS[2], 'tries', 'ats')
local deduplication = ARGV[3] == '1' and redis.call('HGET', KEYS[2], 'deid')
if deduplication then redis.call('SET', jobs .. 'de:' .. deduplication, ARGV[1], 'NX') end
redis.call('HSET', KEYS[2], 'tries', string.format('%.0f', (tonumber(runs[1] or '') or 0) + (tonumber(runs[2] or '') or 0)))
-- The retention of ended tasks no longer applies.
local name = redis.call('HGET', KEYS[2], 'name')
for _, kind in ipairs({ 'completed', 'failed', 'cancelled' }) do
  if name then redis.pcall('ZREM', jobs .. 'kept:' .. kind .. ':' .. name, ARGV[1]) end
end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[2], 'opts', ARGV[2]) end
return 1
