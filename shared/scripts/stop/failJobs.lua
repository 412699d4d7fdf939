-- Ends our loop over BullMQ's script `moveToFinished`, which precedes it as the function `finish`: see defineFinishes.
-- Restores the deferred failure of a stopped job, which BullMQ deletes when the job ends: without it, a retry by another program would run
-- the task again.
local function blockRetry(job)
  local fields = redis.call('HMGET', job, 'stop', 'failedReason')
  if fields[1] then redis.call('HSETNX', job, 'defa', fields[2] or 'Stopped') end
end

-- One job that BullMQ cannot end, because a key of its parent has the wrong type, must not keep the others.
local keys, results = { unpack(KEYS) }, {}
for i = 1, #ARGV, 9 do
  keys[12] = ARGV[i + 6] .. ARGV[i]
  local done, result = pcall(finish, keys, { unpack(ARGV, i, i + 8) })
  if done and result == 0 then blockRetry(keys[12]) end
  if not done and type(result) == 'table' then result = result.err end
  results[#results + 1] = done and result or tostring(result)
end
return results
