--[[
  Records an attempt that no script of BullMQ ends: the job goes back to the queue uncounted, or its worker has lost the lock.

  KEYS[1] the job  KEYS[2] its lock
  ARGV[1] the field of the record  ARGV[2] the record as JSON  ARGV[3] the number of its run
  ARGV[4] the worker's lock token; '' for a worker that has lost the lock

  With a token, writes only under that lock. Without one, writes only if the run has no record yet but that of a lost worker: it may
  have ended, and only the answer been lost.

  Returns 1 if the record was written, else 0.
]]
local run = tonumber(ARGV[3])
local function isKnown()
  local job = redis.call('HMGET', KEYS[1], 'timestamp', 'finishedOn', 'tries', 'ats', ARGV[1])
  if not job[1] then return true end
  if job[2] and (tonumber(job[3] or '') or 0) + (tonumber(job[4] or '') or 0) == run then return true end
  local ok, record = pcall(cjson.decode, job[5] or '')
  if not ok or type(record) ~= 'table' or type(record.run) ~= 'number' then return false end
  return record.run > run or (record.run == run and record.outcome ~= 'worker_lost')
end

if ARGV[4] ~= '' then
  if redis.call('GET', KEYS[2]) ~= ARGV[4] then return 0 end
elseif isKnown() then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
