--[[
  Restores the deferred failure of cancelled jobs, which BullMQ deletes when a job ends: without it, a retry by another program
  would run the task again.

  KEYS[1] failed
  ARGV[1] start of the queue's job keys
  ARGV[2…] job ids

  Returns the number of blocked jobs: those that are still in the failed set and have a stop.
]]
-- Out of memory, Redis refuses a script at its first write if that may allocate. PERSIST does not, and later writes are allowed.
redis.call('PERSIST', KEYS[1])

local blocked = 0
for i = 2, #ARGV do
  local job = ARGV[1] .. ARGV[i]
  local fields = redis.call('HMGET', job, 'stop', 'failedReason')
  if fields[1] and redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    redis.call('HSETNX', job, 'defa', fields[2] or 'Stopped')
    blocked = blocked + 1
  end
end
return blocked
