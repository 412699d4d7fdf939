--[[
  Reads tasks of one queue: each job's place, and the fields of its view.

  KEYS[1] completed  KEYS[2] failed  KEYS[3] delayed  KEYS[4] prioritized  KEYS[5] active  KEYS[6] waiting-children
  KEYS[7] wait
  ARGV[1] start of the queue's job keys
  ARGV[2] names of the hash fields to read, separated by spaces; `name:bytes` for a field that is not read if it is longer
  ARGV[3…] job ids

  Returns an entry per id: false if there is no such job, else { place, field values … }, with the length, an integer, in place of
  a value that is too long.
  The place is completed, failed, delayed, prioritized, active, waiting-children or waiting. The wait list may be long and is not
  searched: a job that is nowhere else is waiting, unless it has an end time: then it lost its place and has its final state.
  The place is unreadable, and the problem follows the values, if the job's key is not a hash, if the job is listed without a hash,
  or if the list that should contain it has the wrong type.
]]
local fields = {}
local limits = {}
for field, limit in string.gmatch(ARGV[2], '([^%s:]+):?(%d*)') do
  fields[#fields + 1] = field
  if limit ~= '' then limits[#limits + 1] = { #fields + 1, field, tonumber(limit) } end
end
-- Only jobs have a timestamp, schedulers do not.
local read = { 'timestamp', unpack(fields) }
read[#read + 1] = 'finishedOn'

-- The fields of a job, or the error of a key that is not a hash. Reading the field '' skips a value that is too long.
local function fetch(key)
  local long = {}
  local asked = read
  for index, limited in ipairs(limits) do
    local length = redis.pcall('HSTRLEN', key, limited[2])
    if index == 1 and length == 0 and redis.call('EXISTS', key) == 0 then break end
    if type(length) == 'number' and length > limited[3] then
      if asked == read then asked = { unpack(read) } end
      asked[limited[1]] = ''
      long[limited[1]] = length
    end
  end
  local values = redis.pcall('HMGET', key, unpack(asked))
  if not values.err then
    for index, length in pairs(long) do values[index] = length end
  end
  return values
end

-- The queue's first key of the wrong type.
local broken = nil
local function ask(command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  if not string.find(answer.err, 'WRONGTYPE', 1, true) then error(answer.err) end
  broken = broken or key
  return false
end

-- Up to this many ids, searching the active list for each is cheaper than reading it.
local FEW = 8
local running = nil
local function isActive(id)
  if #ARGV - 2 <= FEW then return ask('LPOS', KEYS[5], id) ~= false end
  if not running then
    running = {}
    for _, active in ipairs(ask('LRANGE', KEYS[5], 0, -1) or {}) do running[active] = true end
  end
  return running[id] == true
end

-- Searches every list but the wait list.
local function placeOf(id)
  if ask('ZSCORE', KEYS[1], id) then return 'completed' end
  if ask('ZSCORE', KEYS[2], id) then return 'failed' end
  if ask('ZSCORE', KEYS[3], id) then return 'delayed' end
  if ask('ZSCORE', KEYS[4], id) then return 'prioritized' end
  if ask('ZSCORE', KEYS[6], id) then return 'waiting-children' end
  if isActive(id) then return 'active' end
  return nil
end

-- The final state of a job that is nowhere else. BullMQ removes the end time when it requeues a job; for a few jobs the wait list is
-- searched anyway, because another program may have written the end time.
local searches = 0
local function endOf(id, finishedOn)
  if (tonumber(finishedOn or '') or 0) <= 0 then return nil end
  searches = searches + 1
  if searches <= FEW and ask('LPOS', KEYS[7], id) then return nil end
  return redis.call('HEXISTS', ARGV[1] .. id, 'returnvalue') == 1 and 'completed' or 'failed'
end

local function unreadable(values, problem)
  values[1] = 'unreadable'
  values[#fields + 2] = problem
  return values
end

local tasks = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local key = ARGV[1] .. id
  local values = fetch(key)
  if values.err then
    if not string.find(values.err, 'WRONGTYPE', 1, true) then error(values.err) end
    local blank = {}
    for field = 1, #fields + 1 do blank[field] = false end
    tasks[i - 2] = unreadable(blank, 'expected a hash, found a ' .. redis.call('TYPE', key).ok)
  else
    local place = placeOf(id)
    if values[1] and (place or not broken) then
      values[1] = place or endOf(id, values[#fields + 2]) or 'waiting'
      values[#fields + 2] = nil
      tasks[i - 2] = values
    elseif values[1] then
      tasks[i - 2] = unreadable(values, 'its place is unknown: ' .. broken .. ' is a ' .. redis.call('TYPE', broken).ok)
    elseif place then
      local kind = redis.call('EXISTS', key) == 1 and 'the hash of its job has no timestamp' or 'it is listed, but has no job'
      tasks[i - 2] = unreadable(values, kind)
    else
      tasks[i - 2] = false
    end
  end
end
return tasks
