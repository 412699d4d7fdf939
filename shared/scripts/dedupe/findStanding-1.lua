--[[
  Finds the task that stands for a deduplication key, and frees the key if no task does. BullMQ frees the key of a task that ends or is
  removed; this also frees the key of a stopped task, and one that has outlived its task, for example in a partly restored backup.

  KEYS[1] the deduplication key
  ARGV[1] start of the queue's job keys
  ARGV[2] mode of the enqueue

  A task that was not stopped stands, by mode:
    while-live  until it ends
    throttle    until the key expires, even if the task has ended; without expiry, until it ends
    debounce    until it starts

  Returns { id, options as JSON }, with '' for the options of a task that is no longer stored; an empty array if no task stands.
]]
local id = redis.call('GET', KEYS[1])
if not id then return {} end
local job = redis.pcall('HMGET', ARGV[1] .. id, 'timestamp', 'opts', 'finishedOn', 'stop', 'tries', 'ats')
local stored = not job.err and job[1]

local function stands()
  if ARGV[2] == 'throttle' and redis.call('PTTL', KEYS[1]) > 0 then return not (stored and job[4]) end
  if not stored or job[3] or job[4] then return false end
  -- A fetch that did not lead to a run is not counted: it lowers `tries`.
  return ARGV[2] ~= 'debounce' or (tonumber(job[5] or '') or 0) + (tonumber(job[6] or '') or 0) <= 0
end

if stands() then return { id, stored and job[2] or '' } end
redis.call('DEL', KEYS[1])
return {}
