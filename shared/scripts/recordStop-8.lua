--[[
  Records the stop of tasks of one queue, and takes those that nobody runs, for the caller to settle at once.

  An active job gets the field `stop`, and `defa`, BullMQ's deferred failure: whoever picks the job up again fails it
  without running it. A job that waits, for its turn, its time or its children, gets both too, and moves to the active list
  under the caller's lock; should the caller die before it has settled the job, the lock runs out, and the next stop, the
  reconciler or the stalled check comes to it. The first stop of a task stays; a later one does not replace its reason.

  The fence: an active job whose lock is gone, or whose worker is known to be dead, is taken too. From then on the lock
  is the caller's, and whatever its former owner still tries to settle is refused.

  A job that is in none of the lists has lost its place. With a time of its end it is what it ended as; else it counts as
  active.

  KEYS[1] completed  KEYS[2] failed  KEYS[3] delayed  KEYS[4] prioritized  KEYS[5] wait  KEYS[6] active
  KEYS[7] waiting-children  KEYS[8] paused, in which BullMQ had what waits in a paused queue up to its version 4
  ARGV[1] start of the queue's job keys
  ARGV[2] the stop as JSON; '' to take only tasks whose stop was recorded before
  ARGV[3] the text of the deferred failure
  ARGV[4] lock token  ARGV[5] lock duration in ms
  ARGV[6] names of dead workers, as a JSON array
  ARGV[7…] job ids

  Returns an array with one { what, stop as JSON, kids, finishedOn, last } an id, cut off where there is nothing more. what:
    missing     no such job
    unreadable  its key is no hash; in the place of the stop: the problem
    completed   it has ended
    failed      it has ended; cancelled, if there is a stop; last: stop_via
    active      its owner will settle it
    left        waits, with its stop recorded, for a worker
    taken       waited, and is the caller's to settle; last: opts, name
    fenced      its owner is dead, and it is the caller's to settle; last: opts, name
    ignored     has no stop (only with ARGV[2] '')
  kids is 'flow' for a task with children in a BullMQ flow, else '1' for one whose handler has enqueued others, else false.
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

-- A list of a wrong type has no jobs. What it should have cannot be told from what has lost its place.
local SORTED_SETS, LISTS = { KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[7] }, { KEYS[5], KEYS[6], KEYS[8] }
local isThere, isRight, areRight = {}, {}, true
for kind, keys in pairs({ zset = SORTED_SETS, list = LISTS }) do
  for _, key in ipairs(keys) do
    local found = redis.call('TYPE', key).ok
    isThere[key], isRight[key] = found == kind, found == kind or found == 'none'
    areRight = areRight and isRight[key]
  end
end
-- Without these two nothing can be taken or settled.
local mayTake = isRight[KEYS[2]] and isRight[KEYS[6]]

local running = nil
local function isActive(id)
  if not isRight[KEYS[6]] then return false end
  if #ids <= FEW then return redis.call('LPOS', KEYS[6], id) ~= false end
  if not running then
    running = {}
    for _, active in ipairs(redis.call('LRANGE', KEYS[6], 0, -1)) do running[active] = true end
  end
  return running[id] == true
end

-- Places in the wait list by id, if it is read as a whole. What is taken from it becomes a gap, and gaps go at the end.
local places, gaps, searches = nil, 0, 0
-- Nil if it is not known whether it waits.
local function takeWaiting(id)
  if not isThere[KEYS[5]] then return false end
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
  if searches > MOST_SEARCHES then return nil end
  return redis.call('LREM', KEYS[5], -1, id) == 1
end

local function take(id)
  for _, key in ipairs({ KEYS[3], KEYS[4], KEYS[7] }) do
    if isThere[key] and redis.call('ZREM', key, id) == 1 then return true end
  end
  if isThere[KEYS[8]] and redis.call('LREM', KEYS[8], -1, id) == 1 then return true end
  return takeWaiting(id)
end

-- For a job with a time of its end that is not among the ended ones. BullMQ removes that time when it puts a job back.
local function isPlaced(id)
  for _, key in ipairs({ KEYS[3], KEYS[4], KEYS[7] }) do
    if redis.call('ZSCORE', key, id) then return true end
  end
  searches = searches + 1
  return isActive(id) or (searches <= MOST_SEARCHES and (redis.call('LPOS', KEYS[5], id) or redis.call('LPOS', KEYS[8], id))) ~= false
end

local function hold(what, job, stop, kids)
  redis.call('SET', job .. ':lock', ARGV[4], 'PX', ARGV[5])
  return { what, stop, kids, false, unpack(redis.call('HMGET', job, 'opts', 'name')) }
end

local function record(id)
  local job = ARGV[1] .. id
  -- a scheduler's record has a name too, but no timestamp
  local known = redis.pcall('HMGET', job, 'timestamp', 'stop', 'kids', 'finishedOn', 'stop_via', 'pb', 'processedOn', 'returnvalue')
  if known.err then return { 'unreadable', 'expected a hash, found a ' .. redis.call('TYPE', job).ok } end
  if not known[1] then return { 'missing', '' } end
  local kids = known[3]
  if redis.call('EXISTS', job .. ':dependencies', job .. ':unsuccessful', job .. ':failed') > 0 then kids = 'flow' end
  local function completed() return { 'completed', '', kids, known[4] } end
  local function failed() return { 'failed', known[2] or '', kids, known[4], known[5] } end
  if known[4] and isThere[KEYS[1]] and redis.call('ZSCORE', KEYS[1], id) then return completed() end
  if known[4] and isThere[KEYS[2]] and redis.call('ZSCORE', KEYS[2], id) then return failed() end

  if areRight and (tonumber(known[4] or '') or 0) > 0 and not isPlaced(id) then return known[8] and completed() or failed() end

  local stop = known[2] or ARGV[2]
  if stop == '' then return { 'ignored', '' } end
  if known[2] then redis.call('HSETNX', job, 'defa', ARGV[3]) else redis.call('HSET', job, 'stop', stop, 'defa', ARGV[3]) end
  if not isActive(id) then
    if not mayTake then return { 'left', stop, kids } end
    local taken = take(id)
    if taken == nil or (not taken and not areRight) then return { 'left', stop, kids } end
    redis.call('LPUSH', KEYS[6], id)
    if running then running[id] = true end
    if taken then
      redis.call('HSET', job, 'delay', 0)
      return hold('taken', job, stop, kids)
    end
  end
  if redis.call('EXISTS', job .. ':lock') == 1 and not (known[6] and dead[known[6]]) then return { 'active', stop, kids } end
  -- Without an owner it was taken by a stop before, whose caller died, or has lost its place while it waited.
  return hold(known[7] and 'fenced' or 'taken', job, stop, kids)
end

local results = {}
for i, id in ipairs(ids) do results[i] = record(id) end
if gaps > 0 then redis.call('LREM', KEYS[5], 0, ARGV[4]) end
return results
