--[[
  Keeps a stop with a job, unless the job has one: the first stop of a task stays. For the worker that runs the job and
  was told of a stop by a message, which may come before the record, or say that there is one where there is none.

  Not for a worker that has lost the job: it may have been settled meanwhile, and brought back by a retry.

  KEYS[1] the job  KEYS[2] its lock
  ARGV[1] the stop as JSON
  ARGV[2] the text of the deferred failure
  ARGV[3] what the lock holds as long as the job is the worker's

  Returns the stop that the job has now; false if the job is not the worker's any more.
]]
if redis.call('GET', KEYS[2]) ~= ARGV[3] then return false end
-- A Redis without memory refuses a write that would change nothing.
if redis.call('HEXISTS', KEYS[1], 'stop') == 0 then redis.call('HSET', KEYS[1], 'stop', ARGV[1]) end
if redis.call('HEXISTS', KEYS[1], 'defa') == 0 then redis.call('HSET', KEYS[1], 'defa', ARGV[2]) end
return redis.call('HGET', KEYS[1], 'stop')
