--[[
  Records the stop of tasks of one queue, and takes those that nobody runs, for the caller to settle at once.

  An active job gets the field `stop`, and `defa`, BullMQ's deferred failure: whoever picks the job up again fails it
  without running it. A job that waits or is delayed gets both too, and moves to the active list under the caller's
  lock; should the caller die before it has settled the job, the lock runs out, the stalled check puts the job back
  and `defa` fails it. The first stop of a task stays; a later one does not replace its reason.

  KEYS[1] completed  KEYS[2] failed  KEYS[3] delayed  KEYS[4] prioritized  KEYS[5] wait  KEYS[6] active
  KEYS[7] waiting-children
  ARGV[1] start of the queue's job keys
  ARGV[2] the stop as JSON; '' to take only tasks whose stop was recorded before
  ARGV[3] the text of the deferred failure
  ARGV[4] lock token  ARGV[5] lock duration in ms
  ARGV[6] how many jobs may be searched for in the wait list, which costs its length each; the rest is left to workers
  ARGV[7…] job ids

  Returns an array with one { what, stop as JSON } an id. what: missing, completed, failed (then a stop in the second
  place says that it was cancelled), active, taken, left (waits, with its stop recorded), ignored (only with ARGV[2] '').
]]
local searches = tonumber(ARGV[6])

local function take(id)
  if redis.call('ZREM', KEYS[3], id) == 1 or redis.call('ZREM', KEYS[4], id) == 1 then return true end
  if searches == 0 then return false end
  searches = searches - 1
  return redis.call('LREM', KEYS[5], -1, id) == 1
end

local function record(id)
  local job = ARGV[1] .. id
  local known = redis.call('HMGET', job, 'timestamp', 'stop') -- a scheduler's record has a name too, but no timestamp
  if not known[1] then return { 'missing', '' } end
  if redis.call('ZSCORE', KEYS[1], id) then return { 'completed', '' } end
  if redis.call('ZSCORE', KEYS[2], id) then return { 'failed', known[2] or '' } end

  local stop = known[2] or ARGV[2]
  if stop == '' then return { 'ignored', '' } end
  redis.call('HSET', job, 'stop', stop, 'defa', ARGV[3])
  if redis.call('LPOS', KEYS[6], id) then return { 'active', stop } end
  if redis.call('ZSCORE', KEYS[7], id) or not take(id) then return { 'left', stop } end

  redis.call('HSET', job, 'delay', 0)
  redis.call('LPUSH', KEYS[6], id)
  redis.call('SET', job .. ':lock', ARGV[4], 'PX', ARGV[5])
  return { 'taken', stop }
end

local results = {}
for i = 7, #ARGV do results[#results + 1] = record(ARGV[i]) end
return results
