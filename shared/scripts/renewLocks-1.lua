--[[
  Renews the locks of jobs that run, as BullMQ's extendLocks does, with a command that Redis takes when its memory is full:
  BullMQ writes the lock anew, which Redis refuses then, and every running job would lose its lock.

  KEYS[1] the queue's set of jobs that are looked at as stalled
  ARGV[1] the start of the keys of the queue's jobs
  ARGV[2] how long the locks hold from now, in ms
  ARGV[3…] of each job: its id, and what its lock holds as long as the job is the worker's

  Returns the ids of the jobs that are not the worker's any more.
]]
local lost = {}
for i = 3, #ARGV, 2 do
  local lock = ARGV[1] .. ARGV[i] .. ':lock'
  if redis.call('GET', lock) == ARGV[i + 1] then
    redis.call('PEXPIRE', lock, ARGV[2])
    redis.call('SREM', KEYS[1], ARGV[i])
  else
    table.insert(lost, ARGV[i])
  end
end
return lost
