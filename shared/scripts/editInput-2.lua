--[[
  Changes the input of a job, unless a worker has it.

  KEYS[1] active
  KEYS[2] the job's hash
  ARGV[1] job id
  ARGV[2] input as JSON

  Returns 1 if it was changed, 0 for a job that is active or gone.
]]
if redis.call('HEXISTS', KEYS[2], 'timestamp') == 0 then return 0 end
if redis.call('LPOS', KEYS[1], ARGV[1]) ~= false then return 0 end
redis.call('HSET', KEYS[2], 'data', ARGV[2])
return 1
