--[[
  Renews the locks of running jobs like BullMQ's extendLocks, but with a command that Redis accepts when it is out of memory: BullMQ
  rewrites the lock, which Redis then refuses, and every running job would lose its lock.

  KEYS[1] the queue's set of jobs that may be stalled
  ARGV[1] start of the queue's job keys
  ARGV[2] lock duration from now, in ms
  ARGV[3…] job id, lock token, job id, lock token …

  Returns the ids of jobs whose lock the worker no longer holds.
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
