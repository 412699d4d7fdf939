--[[
  Records with a scheduler that a run was fetched or stopped before it was due.

  KEYS[1] hash of the scheduler
  ARGV[1] the run's due time, in ms

  Returns 1, or 0 if there is no such scheduler.
]]
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'passed', ARGV[1])
return 1
