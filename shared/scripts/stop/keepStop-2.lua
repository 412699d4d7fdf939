--[[
  Records a stop with a job, unless the job has one: the first stop of a task stays. Called by the worker that runs the job when it
  receives a stop command, which may arrive before the record, or without any.

  Refuses a worker that has lost the job, which may have been settled and retried meanwhile.

  KEYS[1] the job  KEYS[2] its lock
  ARGV[1] the stop as JSON
  ARGV[2] the text of the deferred failure
  ARGV[3] the worker's lock token

  Returns the job's stop; false if the worker no longer holds the lock.
]]
if redis.call('GET', KEYS[2]) ~= ARGV[3] then return false end
-- Out of memory, Redis refuses even a write without effect.
if redis.call('HEXISTS', KEYS[1], 'stop') == 0 then redis.call('HSET', KEYS[1], 'stop', ARGV[1]) end
if redis.call('HEXISTS', KEYS[1], 'defa') == 0 then redis.call('HSET', KEYS[1], 'defa', ARGV[2]) end
return redis.call('HGET', KEYS[1], 'stop')
