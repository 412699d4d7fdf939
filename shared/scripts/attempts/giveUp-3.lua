--[[
  Notes, after note-loss.lua, that a worker lives although it lost the lock of its run: its connection was away. The stall of that run,
  past or future, is then no loss. Run it after each reconnect for each run whose lock expired meanwhile; safe to repeat.

  KEYS[1] job  KEYS[2] the job's lock  KEYS[3] active
  ARGV[1] job id  ARGV[2] the job's `ats` when this run was fetched  ARGV[3] the run's lock token  ARGV[4] time in ms

  Returns 1 if the run was given up, or 0: it holds its lock, has ended, or is given up already.
]]
-- Out of memory, Redis refuses a script at its first write if that may allocate. PERSIST does not, and later writes are allowed.
redis.call('PERSIST', KEYS[1])
local job = redis.call('HMGET', KEYS[1], 'ats', 'tries', 'finishedOn')
local now, fetched = wholeNumber(job[1]), tonumber(ARGV[2])
-- After a retry by a person, `ats` counts from 0.
if now < fetched or (now == fetched and job[3]) or redis.call('GET', KEYS[2]) == ARGV[3] then return 0 end
local willStall = now == fetched and redis.call('LPOS', KEYS[3], ARGV[1])
if willStall then noteLoss(KEYS[1], tonumber(ARGV[4])) end
local run = wholeNumber(job[2]) + fetched
local field = string.format('try%d', run % 20)
local text = redis.call('HGET', KEYS[1], field) or ''
local isRead, record = pcall(cjson.decode, text)
if not isRead or type(record) ~= 'table' or record.run ~= run or record.given_up then return 0 end
if record.outcome ~= 'worker_lost' and record.outcome ~= 'lock_lost' then return 0 end
local given = string.gsub(string.gsub(text, '"outcome":"worker_lost"', '"outcome":"lock_lost"'), '^{', '{"given_up":true,')
redis.call('HSET', KEYS[1], field, given)
if not willStall then redis.call('HINCRBY', KEYS[1], 'given_up', 1) end
return 1
