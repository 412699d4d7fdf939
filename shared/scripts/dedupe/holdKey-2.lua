--[[
  Gives a live task its deduplication key back after the key was deleted or evicted, unless another task has it or the task was stopped.

  KEYS[1] the deduplication key  KEYS[2] the job
  ARGV[1] job id

  Returns 1 if the task got its key, else 0.
]]
local job = redis.call('HMGET', KEYS[2], 'timestamp', 'finishedOn', 'stop')
if not job[1] or job[2] or job[3] then return 0 end
return redis.call('SET', KEYS[1], ARGV[1], 'NX') and 1 or 0
