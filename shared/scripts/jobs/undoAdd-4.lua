--[[
  Cleans up after BullMQ's script to add a job failed half way, for example at a key of the wrong type. The job may be listed and
  will run; or only its hash was written, which no worker ever finds and which would count as a duplicate when its id is enqueued
  again. Such a hash is removed, and its deduplication key freed.

  KEYS[1] job  KEYS[2] wait  KEYS[3] delayed  KEYS[4] prioritized
  ARGV[1] job id
  ARGV[2] the nonce in the job's options; '' if no other caller can have used this id

  Returns 1 if the job exists, 0 if it does not.
]]
-- New jobs are near the head, and a longer search would block Redis.
local FAR = 100000

-- A key of the wrong type does not rule out the others.
local function found(...)
  local reply = redis.pcall(...)
  return reply and not (type(reply) == 'table' and reply.err)
end

local job = redis.pcall('HMGET', KEYS[1], 'timestamp', 'opts', 'ats', 'finishedOn', 'deid')
if job.err or not job[1] then return 0 end
if job[3] or job[4] or not string.find(job[2] or '', ARGV[2], 1, true) then return 1 end
if found('LPOS', KEYS[2], ARGV[1], 'MAXLEN', FAR) then return 1 end
if found('ZSCORE', KEYS[3], ARGV[1]) or found('ZSCORE', KEYS[4], ARGV[1]) then return 1 end
redis.call('DEL', KEYS[1])
if job[5] then
  local key = string.sub(KEYS[1], 1, -#ARGV[1] - 1) .. 'de:' .. job[5]
  if redis.pcall('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
return 0
