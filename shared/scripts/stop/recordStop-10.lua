--[[
  Records the stop of tasks of one queue, and takes those that no worker runs, for the caller to settle at once.

  An active job gets the field `stop`, and `defa`, BullMQ's deferred failure: the next worker to pick up the job fails it without
  running it. A waiting, delayed or waiting-children job gets both too, and moves to the active list under the caller's lock; if the
  caller dies before it has settled the job, the lock expires, and the next stop, the reconciler or the stalled check settles it.
  The first stop of a task stays; a later one does not replace its reason.

  A waiting job of the fleet that concerns no other job ends here and now as cancelled: a job without parent, children and deduplication
  key, that is kept once cancelled. It gets the fields, and the queue the events, as from BullMQ's script `moveToFinished`, without the
  detour through the active list, which costs more than the rest. `test/producer/stop/queued-stop.test.ts` compares both ways.

  The fence: an active job without a lock, or of a worker known to be dead, is taken too. The caller then holds the lock, and the
  former owner can no longer settle the job.

  A stop frees the task's deduplication key at once, also if the task is still running: an enqueue after the stop adds a new task.

  A job in none of the lists has lost its place. With an end time it has its final state; otherwise it counts as active.

  KEYS[1] completed  KEYS[2] failed  KEYS[3] delayed  KEYS[4] prioritized  KEYS[5] wait  KEYS[6] active
  KEYS[7] waiting-children  KEYS[8] paused, where BullMQ up to version 4 kept the waiting jobs of a paused queue
  KEYS[9] meta  KEYS[10] events
  ARGV[1] start of the queue's job keys
  ARGV[2] the stop as JSON; '' to take only tasks whose stop was recorded before
  ARGV[3] the text of the deferred failure
  ARGV[4] lock token  ARGV[5] lock duration in ms
  ARGV[6] names of dead workers, as a JSON array
  ARGV[7] now in ms since the epoch, the end of the jobs that end here
  ARGV[8…] job ids, then, to tell the workers that run some of them: '', the start of the workers' channels, the command without ids and
           closing brace

  Returns { what, stop as JSON, children, finishedOn, last } per id, without trailing empty values; fewer than ids, at least one, if the
  rest is for another call. what:
    missing     there is no such job
    unreadable  its key is not a hash; the problem is in place of the stop
    completed   it has ended; last: the field skipped
    failed      it has ended; it is cancelled if it has a stop; last: stop_via
    active      its owner will settle it; last: '1' if the owner was told
    left        its stop is recorded; the worker that fetches it will settle it
    taken       it was waiting, and the caller must settle it; last: opts, name, delay
    ended       it was waiting, and has ended as cancelled, by this call or the same one whose reply was lost; last: the same
    fenced      its owner is dead, and the caller must settle it; last: opts, name, pb, processedOn, atm, ats, stc, tries, given_up
    ignored     it has no stop (only with ARGV[2] '')
  children is 'flow' for a task with children in a BullMQ flow, else '1' if its handler has enqueued others, else false.
]]
-- Out of memory, Redis refuses a script at its first write if that may allocate. PERSIST does not, and later writes are allowed.
redis.call('PERSIST', KEYS[1])

-- Searching a list for this many ids is cheaper than reading it.
local FEW = 8
-- Reading a longer list would block Redis. Then at most MOST_SEARCHES ids are searched for, and the rest are left.
local LONGEST = 100000
local MOST_SEARCHES = 200

local ids, channels, command = {}, nil, nil
for i = 8, #ARGV do
  if ARGV[i] == '' then
    channels, command = ARGV[i + 1], ARGV[i + 2]
    break
  end
  ids[#ids + 1] = ARGV[i]
end
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

local running, lookups = nil, 0
local function isActive(id)
  if not isRight[KEYS[6]] then return false end
  lookups = lookups + 1
  if not running and lookups <= FEW then return redis.call('LPOS', KEYS[6], id) ~= false end
  if not running then
    running = {}
    for _, active in ipairs(redis.call('LRANGE', KEYS[6], 0, -1)) do running[active] = true end
  end
  return running[id] == true
end

-- Looks near both ends of the wait list first: a stop of all tasks of a queue meets them in their order. For many ids, the end that is fetched
-- first is read once, and written back at the end without the jobs taken from it.
local NEAR = 16
local tail, tailPlaces, tailTaken = {}, nil, 0
local function takeFromTail(id)
  if not tailPlaces then
    tail, tailPlaces = redis.call('LRANGE', KEYS[5], -#ids - NEAR, -1), {}
    for i, waiting in ipairs(tail) do tailPlaces[waiting] = i end
  end
  local place = tailPlaces[id]
  if not place or not tail[place] then return false end
  tail[place], tailTaken = false, tailTaken + 1
  return true
end

local function writeTail()
  if tailTaken == 0 then return end
  redis.call('LTRIM', KEYS[5], 0, -#tail - 1)
  local left = {}
  for _, waiting in ipairs(tail) do
    if waiting then left[#left + 1] = waiting end
  end
  if #left > 0 then redis.call('RPUSH', KEYS[5], unpack(left)) end
end

local function takeNear(id)
  if #ids > FEW and takeFromTail(id) then return true end
  for _, from in ipairs(#ids > FEW and { 1 } or { -1, 1 }) do
    if redis.call('LPOS', KEYS[5], id, 'RANK', from, 'MAXLEN', NEAR) then return redis.call('LREM', KEYS[5], from, id) == 1 end
  end
  return false
end

-- Positions in the wait list by id, if it was read as a whole. A job taken from it leaves a gap; gaps are removed at the end.
local places, gaps, searches = nil, 0, 0
-- Nil if it is unknown whether the job is waiting.
local function takeWaiting(id)
  if not isThere[KEYS[5]] then return false end
  if not places and takeNear(id) then return true end
  if searches >= FEW and not places and redis.call('LLEN', KEYS[5]) <= LONGEST then
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

-- A job in a sorted set is not active: the active list, which may be long, need not be read.
local function takeSorted(id)
  for _, key in ipairs({ KEYS[3], KEYS[4], KEYS[7] }) do
    if isThere[key] and redis.call('ZREM', key, id) == 1 then return key end
  end
  return false
end

local function takeListed(id)
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

local WAITING = { 'opts', 'name', 'delay' }
local RUN = { 'opts', 'name', 'pb', 'processedOn', 'atm', 'ats', 'stc', 'tries', 'given_up' }
local function hold(what, job, stop, children)
  redis.call('SET', job .. ':lock', ARGV[4], 'PX', ARGV[5])
  local last = what == 'fenced' and RUN or WAITING
  return { what, stop, children, false, unpack(redis.call('HMGET', job, unpack(last))) }
end

-- Whether a waiting job may end here. Only jobs of the fleet have an item in their options.
local function endsAlone(id, known, children)
  local opts = known[11]
  if known[2] or known[10] or known[12] or children or not opts or string.sub(id, 1, 7) == 'repeat:' then return false end
  local kept = string.match(opts, '"keepCancelled":(%b{})')
  return areRight and string.find(opts, '"item":"', 1, true) and not (kept and string.find(kept, '"count":0[,}]')) or false
end

local ended = {}
local function endQueued(id, job, stop, known)
  local attempts = (tonumber(known[13] or '') or 0) + 1
  redis.call(
    'HSET', job, 'stop', stop, 'defa', ARGV[3], 'delay', 0, 'failedReason', ARGV[3], 'stacktrace', '[]', 'stop_via', 'queue',
    'atm', attempts, 'finishedOn', ARGV[7]
  )
  ended[#ended + 1], ended[#ended + 2] = ARGV[7], id
  redis.call('XADD', KEYS[10], '*', 'event', 'failed', 'jobId', id, 'failedReason', ARGV[3], 'prev', 'active')
  if attempts >= (tonumber(string.match(known[11], '"attempts":(%d+)') or '') or 0) then
    redis.call('XADD', KEYS[10], '*', 'event', 'retries-exhausted', 'jobId', id, 'attemptsMade', attempts)
  end
  return { 'ended', stop, false, ARGV[7], known[11], known[14], known[15] }
end

local function freeKey(id, deduplication)
  local key = ARGV[1] .. 'de:' .. deduplication
  if redis.pcall('GET', key) == id then redis.call('DEL', key) end
end

-- Results of active jobs, by worker and id. A worker is told last, when the stops of all its jobs are recorded.
local runs = {}
local function active(id, stop, children, worker)
  local result = { 'active', stop, children, false, false }
  if channels and worker then
    runs[worker] = runs[worker] or {}
    runs[worker][id] = result
  end
  return result
end

local function tellWorkers()
  for worker, results in pairs(runs) do
    local named = {}
    for id in pairs(results) do named[#named + 1] = id end
    local tail = ',"task_id":' .. cjson.encode(named[1]) .. ',"task_ids":' .. cjson.encode(named) .. '}'
    local receivers = redis.pcall('PUBLISH', channels .. worker, command .. tail)
    if type(receivers) == 'number' and receivers > 0 then
      for _, result in pairs(results) do result[5] = '1' end
    end
  end
end

local function record(id)
  local job = ARGV[1] .. id
  -- A scheduler's record has a name too, but no timestamp.
  local known = redis.pcall(
    'HMGET', job, 'timestamp', 'stop', 'kids', 'finishedOn', 'stop_via', 'pb', 'processedOn', 'returnvalue', 'skipped', 'deid', 'opts',
    'parentKey', 'atm', 'name', 'delay'
  )
  if known.err then return { 'unreadable', 'expected a hash, found a ' .. redis.call('TYPE', job).ok } end
  if not known[1] then return { 'missing', '' } end
  local children = known[3]
  if redis.call('EXISTS', job .. ':dependencies', job .. ':unsuccessful', job .. ':failed') > 0 then children = 'flow' end
  local function completed() return { 'completed', '', children, known[4], known[9] } end
  local function failed() return { 'failed', known[2] or '', children, known[4], known[5] } end
  if known[4] and isThere[KEYS[1]] and redis.call('ZSCORE', KEYS[1], id) then return completed() end
  if known[4] and isThere[KEYS[2]] and redis.call('ZSCORE', KEYS[2], id) then
    -- This very call ended it, and was sent again: its caller, who has not got the reply, has not cleared up yet.
    if known[2] == ARGV[2] and known[4] == ARGV[7] and known[5] == 'queue' then
      return { 'ended', known[2], false, known[4], known[11], known[14], known[15] }
    end
    return failed()
  end

  if areRight and (tonumber(known[4] or '') or 0) > 0 and not isPlaced(id) then return known[8] and completed() or failed() end

  local stop = known[2] or ARGV[2]
  if stop == '' then return { 'ignored', '' } end
  local isAlone, isRecorded = endsAlone(id, known, children), false
  local function recordOn()
    if isRecorded then return end
    isRecorded = true
    if known[2] then redis.call('HSETNX', job, 'defa', ARGV[3]) else redis.call('HSET', job, 'stop', stop, 'defa', ARGV[3]) end
    if known[10] then freeKey(id, known[10]) end
  end
  local sorted = mayTake and takeSorted(id)
  if sorted or not isActive(id) then
    local taken = sorted or (mayTake and takeListed(id))
    if taken and isAlone and sorted ~= KEYS[7] then return endQueued(id, job, stop, known) end
    recordOn()
    if not mayTake or taken == nil or (not taken and not areRight) then return { 'left', stop, children } end
    redis.call('LPUSH', KEYS[6], id)
    if running then running[id] = true end
    if taken then
      local held = hold('taken', job, stop, children)
      redis.call('HSET', job, 'delay', 0)
      return held
    end
  end
  recordOn()
  if redis.call('EXISTS', job .. ':lock') == 1 and not (known[6] and dead[known[6]]) then return active(id, stop, children, known[6]) end
  -- A job that no worker ever fetched was taken by a stop whose caller died, or lost its place while it was waiting.
  return hold(known[7] and 'fenced' or 'taken', job, stop, children)
end

-- A script ends once it has cost as much as ending this many jobs; later if it searches the wait list, which costs more than the rest.
local MOST, COST_OF_OTHERS = 250, 3
local results, cost = {}, 0
for i, id in ipairs(ids) do
  if cost >= MOST and (places or searches <= FEW) then break end
  results[i] = record(id)
  cost = cost + (results[i][1] == 'ended' and 1 or COST_OF_OTHERS)
end
if gaps > 0 then redis.call('LREM', KEYS[5], 0, ARGV[4]) end
writeTail()
if #ended > 0 then
  redis.call('ZADD', KEYS[2], unpack(ended))
  redis.call('XTRIM', KEYS[10], 'MAXLEN', '~', redis.call('HGET', KEYS[9], 'opts.maxLenEvents') or 10000)
  if redis.call('LLEN', KEYS[5]) + redis.call('LLEN', KEYS[6]) + redis.call('ZCARD', KEYS[4]) == 0 then
    redis.call('XADD', KEYS[10], '*', 'event', 'drained')
  end
end
tellWorkers()
return results
