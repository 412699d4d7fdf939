--[[
  Records the stop of tasks of one queue, and takes those that nobody runs, for the caller to settle at once.

  An active job gets the field `stop`, and `defa`, BullMQ's deferred failure: whoever picks the job up again fails it
  without running it. A job that waits or is delayed gets both too, and moves to the active list under the caller's
  lock; should the caller die before it has settled the job, the lock runs out, and the next stop, the reconciler or the
  stalled check comes to it. The first stop of a task stays; a later one does not replace its reason.

  The fence: an active job whose lock is gone, or whose worker is known to be dead, is taken too. From then on the lock
  is the caller's, and whatever its former owner still tries to settle is refused.

  KEYS[1] completed  KEYS[2] failed  KEYS[3] delayed  KEYS[4] prioritized  KEYS[5] wait  KEYS[6] active
  KEYS[7] waiting-children
  ARGV[1] start of the queue's job keys
  ARGV[2] the stop as JSON; '' to take only tasks whose stop was recorded before
  ARGV[3] the text of the deferred failure
  ARGV[4] lock token  ARGV[5] lock duration in ms
  ARGV[6] names of dead workers, as a JSON array
  ARGV[7…] job ids

  Returns an array with one { what, stop as JSON, kids, finishedOn, last } an id, cut off where there is nothing more. what:
    missing     no such job
    completed   it has ended
    failed      it has ended; cancelled, if there is a stop; last: stop_via
    active      its owner will settle it
    left        waits, with its stop recorded, for a worker or for its children
    taken       waited, and is the caller's to settle; last: opts, name
    fenced      its owner is dead, and it is the caller's to settle; last: opts, name
    ignored     has no stop (only with ARGV[2] '')
    unreadable  its key, or one of its queue, has another type, and nothing was recorded; in the place of the stop: why
  A job whose queue has such a key is left, if its stop could be recorded.
  kids is '1' for a task whose handler has enqueued others, else false.
]]
-- Without memory Redis refuses a script whose first write needs some. This one needs none, and the others may follow.
redis.call('PERSIST', KEYS[1])

-- Up to this many ids a search of a list for each is cheaper than reading the list.
local FEW = 8
-- Reading a longer list would hold up Redis. Then so many ids are searched for, and the rest is left.
local LONGEST = 100000
local MOST_SEARCHES = 200

local ids = {}
for i = 7, #ARGV do ids[#ids + 1] = ARGV[i] end
local dead = {}
for _, name in ipairs(cjson.decode(ARGV[6])) do dead[name] = true end

local running = nil
local function isActive(id)
  if #ids <= FEW then return redis.call('LPOS', KEYS[6], id) ~= false end
  if not running then
    running = {}
    for _, active in ipairs(redis.call('LRANGE', KEYS[6], 0, -1)) do running[active] = true end
  end
  return running[id] == true
end

-- Places in the wait list by id, if it is read as a whole. What is taken from it becomes a gap, and gaps go at the end.
local places, gaps, searches = nil, 0, 0
local function takeWaiting(id)
  if #ids > FEW and not places and redis.call('LLEN', KEYS[5]) <= LONGEST then
    places = {}
    for i, waiting in ipairs(redis.call('LRANGE', KEYS[5], 0, -1)) do places[waiting] = i - 1 end
  end
  if places then
    if not places[id] then return false end
    redis.call('LSET', KEYS[5], places[id], ARGV[4])
    gaps = gaps + 1
    return true
  end
  searches = searches + 1
  return searches <= MOST_SEARCHES and redis.call('LREM', KEYS[5], -1, id) == 1
end

local function take(id)
  if redis.call('ZREM', KEYS[3], id) == 1 or redis.call('ZREM', KEYS[4], id) == 1 then return true end
  return takeWaiting(id)
end

local function hold(what, job, stop, kids)
  redis.call('SET', job .. ':lock', ARGV[4], 'PX', ARGV[5])
  return { what, stop, kids, false, unpack(redis.call('HMGET', job, 'opts', 'name')) }
end

local function record(id)
  local job = ARGV[1] .. id
  -- a scheduler's record has a name too, but no timestamp
  local known = redis.call('HMGET', job, 'timestamp', 'stop', 'kids', 'finishedOn', 'stop_via', 'pb', 'processedOn')
  if not known[1] then return { 'missing', '' } end
  local kids = known[3]
  if known[4] and redis.call('ZSCORE', KEYS[1], id) then return { 'completed', '', kids, known[4] } end
  if known[4] and redis.call('ZSCORE', KEYS[2], id) then return { 'failed', known[2] or '', kids, known[4], known[5] } end

  local stop = known[2] or ARGV[2]
  if stop == '' then return { 'ignored', '' } end
  if known[2] then redis.call('HSETNX', job, 'defa', ARGV[3]) else redis.call('HSET', job, 'stop', stop, 'defa', ARGV[3]) end
  if isActive(id) then
    if redis.call('EXISTS', job .. ':lock') == 1 and not (known[6] and dead[known[6]]) then return { 'active', stop, kids } end
    -- Without an owner it was taken by a stop before, whose caller died.
    return hold(known[7] and 'fenced' or 'taken', job, stop, kids)
  end
  if redis.call('ZSCORE', KEYS[7], id) or not take(id) then return { 'left', stop, kids } end

  redis.call('HSET', job, 'delay', 0)
  redis.call('LPUSH', KEYS[6], id)
  if running then running[id] = true end
  return hold('taken', job, stop, kids)
end

-- One record of another type must not keep the others from their stop.
local function recordOrNot(id)
  local fine, result = pcall(record, id)
  if fine then return result end
  local text = type(result) == 'table' and result.err or tostring(result)
  if not string.find(text, 'WRONGTYPE', 1, true) then error(text) end
  local stop = redis.pcall('HGET', ARGV[1] .. id, 'stop')
  if type(stop) == 'string' then return { 'left', stop, redis.call('HGET', ARGV[1] .. id, 'kids') } end
  return { 'unreadable', 'expected a hash in a queue whose keys have their types; the job is a ' .. redis.call('TYPE', ARGV[1] .. id).ok }
end

local results = {}
for i, id in ipairs(ids) do results[i] = recordOrNot(id) end
if gaps > 0 then redis.call('LREM', KEYS[5], 0, ARGV[4]) end
return results
