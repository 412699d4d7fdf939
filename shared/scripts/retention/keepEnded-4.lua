--[[
  Adds ended tasks of one queue to the indexes of their retention, and removes the tasks that exceed it.

  A task that has left its set of ended jobs is passed over. A task of the set `failed` is cancelled if it has a stop, and failed
  otherwise. The script builds the keys of jobs and indexes.

  Tasks with an item or tags are added to the index of texts too, first, so that a task in the other indexes is there.

  KEYS[1] completed  KEYS[2] failed  KEYS[3] the last limits of each index  KEYS[4] the index of texts
  ARGV[1] start of the queue's job keys
  ARGV[2] most tasks to remove from each index
  ARGV[3] number of members of the index of texts
  ARGV[4…] these members, then groups of tasks: 'completed' or 'failed', name, limits, limits of cancelled tasks, number of ids, ids…

  Returns { the tasks that could not be removed because a parent waits for them, each with the parent's key; keys of a wrong type }.
]]
-- Out of memory, Redis refuses a script at its first write if that may allocate. PERSIST does not, and later writes are allowed.
redis.call('PERSIST', KEYS[1])

local jobs, most, wrong = ARGV[1], tonumber(ARGV[2]), {}
local function is(key, expected)
  local found = redis.call('TYPE', key).ok
  if found == expected or found == 'none' then return true end
  wrong[#wrong + 1] = key
  return false
end

local endedKeys = { completed = KEYS[1], failed = KEYS[2] }
local mayKeepLimits = is(KEYS[3], 'hash')

local function addTo(kind, name, ended, limits, entries)
  if #entries == 0 then return end
  local index = jobs .. 'kept:' .. kind .. ':' .. name
  if not is(index, 'zset') then return end
  redis.call('ZADD', index, unpack(entries))
  local field = kind .. ':' .. name
  if mayKeepLimits and redis.call('HGET', KEYS[3], field) ~= limits then redis.call('HSET', KEYS[3], field, limits) end
  prune(jobs, index, ended, limits, most)
end

local members = tonumber(ARGV[3])
local function countTasks()
  local total, at = 0, 4 + members
  while at <= #ARGV do
    local count = tonumber(ARGV[at + 4])
    total, at = total + count, at + 5 + count
  end
  return total
end

-- The index of texts of a queue without other ended jobs is complete from now on.
if redis.call('EXISTS', KEYS[4]) == 0 and is(KEYS[1], 'zset') and is(KEYS[2], 'zset') then
  if redis.call('ZCARD', KEYS[1]) + redis.call('ZCARD', KEYS[2]) <= countTasks() then redis.call('ZADD', KEYS[4], 0, 'complete') end
end

if members > 0 and is(KEYS[4], 'zset') then
  local scored = {}
  for i = 1, members do scored[2 * i - 1], scored[2 * i] = 0, ARGV[3 + i] end
  redis.call('ZADD', KEYS[4], unpack(scored))
end

local i = 4 + members
while i <= #ARGV do
  local place, name, count = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 4])
  local ended, entries, cancelled = endedKeys[place], {}, {}
  if is(ended, 'zset') then
    local scores = redis.call('ZMSCORE', ended, unpack(ARGV, i + 5, i + 4 + count))
    for j, score in ipairs(scores) do
      local id = ARGV[i + 4 + j]
      if score then
        local isStopped = place == 'failed' and redis.pcall('HEXISTS', jobs .. id, 'stop') == 1
        local added = isStopped and cancelled or entries
        added[#added + 1], added[#added + 2] = score, id
      end
    end
    addTo(place, name, ended, ARGV[i + 2], entries)
    addTo('cancelled', name, ended, ARGV[i + 3], cancelled)
  end
  i = i + 5 + count
end
return { attached, wrong }
