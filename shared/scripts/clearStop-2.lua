--[[
  Clears what a job that failed or was cancelled has of its last run and would carry into the next: the stop, with
  BullMQ's deferred failure, which would end the next run before its beginning; the progress; the count of stalls.

  Leaves any other job alone: one that somebody has retried meanwhile may have been stopped again since.

  KEYS[1] failed  KEYS[2] job
  ARGV[1] job id
  ARGV[2] the job's options from now on, as JSON; '' to leave them as they are

  Returns 1 if the job is in the failed set, else 0.
]]
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end -- with options, a ghost would come of it
redis.call('HDEL', KEYS[2], 'stop', 'stop_via', 'defa', 'progress', 'stc')
if ARGV[2] ~= '' then redis.call('HSET', KEYS[2], 'opts', ARGV[2]) end
return 1
