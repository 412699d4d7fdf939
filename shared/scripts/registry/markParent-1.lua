--[[
  Marks a job whose handler enqueues children, so that a stop looks for them.

  KEYS[1] the job
  No ARGV.

  Returns 1, or 0 if there is no such job, which HSET would create.
]]
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'kids', 1)
return 1
