--[[
  Notes with a job that its handler enqueues others, so that whoever stops it looks for them.

  KEYS[1] the job
  No ARGV.

  Returns 1, or 0 if there is no such job: a field set now would make a ghost of it.
]]
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'kids', 1)
return 1
