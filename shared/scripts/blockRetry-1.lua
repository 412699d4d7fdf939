--[[
  Puts the deferred failure back on cancelled jobs: BullMQ deletes it when a job ends, and without it a retry by anybody
  but us would run the task again.

  KEYS[1] failed
  ARGV[1] start of the queue's job keys
  ARGV[2…] job ids

  Returns how many were barred: those that are still in the failed set and have a stop.
]]
-- Without memory Redis refuses a script whose first write needs some. This one needs none, and the others may follow.
redis.call('PERSIST', KEYS[1])

local barred = 0
for i = 2, #ARGV do
  local job = ARGV[1] .. ARGV[i]
  local fields = redis.call('HMGET', job, 'stop', 'failedReason')
  if fields[1] and redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    redis.call('HSETNX', job, 'defa', fields[2] or 'Stopped')
    barred = barred + 1
  end
end
return barred
