--[[
  Clears the remains of the last run of a failed or cancelled job before a retry: the stop with BullMQ's deferred failure, which
  would fail the next run before it starts; the progress; the stall count.

  Leaves any other job alone: one that was retried meanwhile may have been stopped again since.

  KEYS[1] failed  KEYS[2] job
  ARGV[1] job id
  ARGV[2] the job's new options as JSON; '' to keep them

  Returns 1 if the job is in the failed set, else 0.
]]
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end -- HSET would create a job of options only
redis.call('HDEL', KEYS[2], 'stop', 'stop_via', 'defa', 'progress', 'stc')
if ARGV[2] ~= '' then redis.call('HSET', KEYS[2], 'opts', ARGV[2]) end
return 1
