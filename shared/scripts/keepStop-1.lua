--[[
  Keeps a stop with a job, unless the job has one: the first stop of a task stays. For a worker that was told of a stop
  by a message, which may come before the record, or say that there is one where there is none.

  KEYS[1] the job
  ARGV[1] the stop as JSON
  ARGV[2] the text of the deferred failure

  Returns the stop that the job has now, or false if there is no such job: a field set now would make a ghost of it.
]]
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
redis.call('HSETNX', KEYS[1], 'stop', ARGV[1])
redis.call('HSETNX', KEYS[1], 'defa', ARGV[2])
return redis.call('HGET', KEYS[1], 'stop')
