--[[
  Runs before BullMQ's moveStalledJobsToWait, in one script with it, after note-loss.lua: records the loss of each run that this check
  gives back to the queue. BullMQ counts the stall in the job's field `stc`; the field `given_up` counts the stalls that were no loss.
  Keys and arguments are those of BullMQ's script.

  KEYS[1] stalled  KEYS[3] active  KEYS[4] stalled-check, which exists if this check is skipped
  ARGV[2] start of the queue's job keys  ARGV[3] time in ms
]]
if redis.call('EXISTS', KEYS[4]) == 0 then
  for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    local job = ARGV[2] .. id
    if redis.call('EXISTS', job .. ':lock') == 0 and redis.call('LPOS', KEYS[3], id) and noteLoss(job, tonumber(ARGV[3])) == 'given_up' then
      redis.call('HINCRBY', job, 'given_up', 1)
    end
  end
end
