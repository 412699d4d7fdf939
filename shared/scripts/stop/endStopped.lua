-- Ends our command around BullMQ's script `moveToFinished`, which precedes this text as the function `finish`: see defineFinishes. It fails
-- the job of a stopped run. Records the stop first, unless the job has one: the first stop of a task stays. Frees the task's deduplication
-- key, as the record of a stop does, and restores the deferred failure, which BullMQ deletes when a job ends.
-- ARGV[1…9] BullMQ's  ARGV[10] the stop as JSON  ARGV[11] the text of the deferred failure  ARGV[12] the worker's lock token
-- ARGV[13] how the run ended. The fleet's own event tells it to the callers that wait for the stop, who need not read the job
-- Returns { 'done', the job's stop or false, the result of BullMQ's script }, or { 'other', the job's stop } and does nothing, if that is
-- another stop, which the failure must name. A worker without the lock writes nothing: BullMQ's result says so.
redis.call('PERSIST', KEYS[12]) -- out of memory, Redis refuses a script whose first write may allocate

local job, kept = KEYS[12], false
if redis.call('GET', job .. ':lock') == ARGV[12] then
  local known = redis.call('HMGET', job, 'stop', 'defa', 'deid')
  if known[1] and known[1] ~= ARGV[10] and known[2] ~= ARGV[11] then return { 'other', known[1] } end
  kept = known[1] or ARGV[10]
  if not known[1] then redis.call('HSET', job, 'stop', kept) end
  if not known[2] then redis.call('HSET', job, 'defa', ARGV[11]) end
  local deduplication = known[3] and ARGV[7] .. 'de:' .. known[3]
  if deduplication and redis.pcall('GET', deduplication) == ARGV[1] then redis.call('DEL', deduplication) end
end

local result = finish(KEYS, ARGV)
local hasEnded = type(result) == 'table' or result == 0
if hasEnded then
  if redis.call('HEXISTS', job, 'stop') == 1 then redis.call('HSETNX', job, 'defa', ARGV[4]) end
  redis.call('XADD', KEYS[4], '*', 'event', 'taskfleet:cancelled', 'jobId', ARGV[1], 'via', ARGV[13], 'finishedOn', ARGV[2])
end
return { 'done', kept, result }
