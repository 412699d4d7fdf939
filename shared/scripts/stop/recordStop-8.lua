--[[
  Records the stop of tasks of one queue, and takes those that no worker runs, for the caller to settle at once.

  An active job gets the field `stop`, and `defa`, BullMQ's deferred failure: the next worker to pick up the job fails it without
  running it. A waiting, delayed or waiting-children job gets both too, and moves to the active list under the caller's lock; if the
  caller dies before it has settled the job, the lock expires, and the next stop, the reconciler or the stalled check settles it.
  The first stop of a task stays; a later one does not replace its reason.

  The fence: an active job without a lock, or of a worker known to be dead, is taken too. The caller then holds the lock, and the
  former owner can no longer settle the job.

  A job in none of the lists has lost its place. With an end time it has its final state; otherwise it counts as active.

  KEYS[1] completed  KEYS[2] failed  KEYS[3] delayed  KEYS[4] prioritized  KEYS[5] wait  KEYS[6] active
  KEYS[7] waiting-children  KEYS[8] paused, where BullMQ up to version 4 kept the waiting jobs of a paused queue
  ARGV[1] start of the queue's job keys
  ARGV[2] the stop as JSON; '' to take only tasks whose stop was recorded before
  ARGV[3] the text of the deferred failure
  ARGV[4] lock token  ARGV[5] lock duration in ms
  ARGV[6] names of dead workers, as a JSON array
  ARGV[7…] job ids

  Returns { what, stop as JSON, children, finishedOn, last } per id, without trailing empty values. what:
    missing     there is no such job
    unreadable  its key is not a hash; the problem is in place of the stop
    completed   it has ended
    failed      it has ended; it is cancelled if it has a stop; last: stop_via
    active      its owner will settle it
    left        its stop is recorded; the worker that fetches it will settle it
    taken       it was waiting, and the caller must settle it; last: opts, name
    fenced      its owner is dead, and the caller must settle it; last: opts, name
    ignored     it has no stop (only with ARGV[2] '')
  children is 'flow' for a task with children in a BullMQ flow, else '1' if its handler has enqueued others, else false.
]]
-- Out of memory, Redis refuses a script at its first write if that may allocate. PERSIST does not, and later writes are allowed.
redis.call('PERSIST', KEYS[1])

-- Up to this many ids, searching a list for each is cheaper than reading it.
local FEW = 8
-- Reading a longer list would block Redis. Then at most MOST_SEARCHES ids are searched for, and the rest are left.
local LONGEST = 100000
local MOST_SEARCHES = 200

local ids = {}
for i = 7, #ARGV do ids[#ids + 1] = ARGV[i] end
local dead = {}
for _, name in ipairs(cjson.decode(ARGV[6])) do dead[name] = true end

-- A list of the wrong type has no jobs: jobs that belong in it cannot be told from those that lost their place.
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

-- Positions in the wait list by id, if it was read as a whole. A job taken from it leaves a gap; gaps are removed at the end.
local places, gaps, searches = nil, 0, 0
-- Nil if it is unknown whether the job is waiting.
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

-- For a job with an end time that is in neither of the sets of ended jobs. BullMQ removes the end time when it requeues a job.
local function isPlaced(id)
  for _, key in ipairs({ KEYS[3], KEYS[4], KEYS[7] }) do
    if redis.call('ZSCORE', key, id) then return true end
  end
  searches = searches + 1
  return isActive(id) or (searches <= MOST_SEARCHES and (redis.call('LPOS', KEYS[5], id) or redis.call('LPOS', KEYS[8], id))) ~= false
end

local function hold(what, job, stop, children)
  redis.call('SET', job .. ':lock', ARGV[4], 'PX', ARGV[5])
  return { what, stop, children, false, unpack(redis.call('HMGET', job, 'opts', 'name')) }
end

local function record(id)
  local job = ARGV[1] .. id
  -- A scheduler's record has a name too, but no timestamp.
  local known = redis.pcall('HMGET', job, 'timestamp', 'stop', 'kids', 'finishedOn', 'stop_via', 'pb', 'processedOn', 'returnvalue')
  if known.err then return { 'unreadable', 'expected a hash, found a ' .. redis.call('TYPE', job).ok } end
  if not known[1] then return { 'missing', '' } end
  local children = known[3]
  if redis.call('EXISTS', job .. ':dependencies', job .. ':unsuccessful', job .. ':failed') > 0 then children = 'flow' end
  local function completed() return { 'completed', '', children, known[4] } end
  local function failed() return { 'failed', known[2] or '', children, known[4], known[5] } end
  if known[4] and isThere[KEYS[1]] and redis.call('ZSCORE', KEYS[1], id) then return completed() end
  if known[4] and isThere[KEYS[2]] and redis.call('ZSCORE', KEYS[2], id) then return failed() end

  if areRight and (tonumber(known[4] or '') or 0) > 0 and not isPlaced(id) then return known[8] and completed() or failed() end

  local stop = known[2] or ARGV[2]
  if stop == '' then return { 'ignored', '' } end
  if known[2] then redis.call('HSETNX', job, 'defa', ARGV[3]) else redis.call('HSET', job, 'stop', stop, 'defa', ARGV[3]) end
  if not isActive(id) then
    if not mayTake then return { 'left', stop, children } end
    local taken = take(id)
    if taken == nil or (not taken and not areRight) then return { 'left', stop, children } end
    redis.call('LPUSH', KEYS[6], id)
    if running then running[id] = true end
    if taken then
      redis.call('HSET', job, 'delay', 0)
      return hold('taken', job, stop, children)
    end
  end
  if redis.call('EXISTS', job .. ':lock') == 1 and not (known[6] and dead[known[6]]) then return { 'active', stop, children } end
  -- A job that no worker ever fetched was taken by a stop whose caller died, or lost its place while it was waiting.
  return hold(known[7] and 'fenced' or 'taken', job, stop, children)
end

local results = {}
for i, id in ipairs(ids) do results[i] = record(id) end
if gaps > 0 then redis.call('LREM', KEYS[5], 0, ARGV[4]) end
return results
