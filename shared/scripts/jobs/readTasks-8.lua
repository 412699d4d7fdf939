--[[
  Reads tasks of one queue: each job's place, and the fields of its view.

  KEYS[1] completed  KEYS[2] failed  KEYS[3] delayed  KEYS[4] prioritized  KEYS[5] active  KEYS[6] waiting-children
  KEYS[7] wait  KEYS[8] meta
  ARGV[1] start of the queue's job keys
  ARGV[2] names of the hash fields to read, separated by spaces; `name:bytes` for a field that is not read if it is longer;
          `@due` for the time at which a delayed job is due, and `@paused` for the time now if the queue is paused, in ms since
          the epoch
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
local due, held = nil, nil
for field, limit in string.gmatch(ARGV[2], '([^%s:]+):?(%d*)') do
  fields[#fields + 1] = field
  if field == '@due' then due = #fields + 1 end
  if field == '@paused' then held = #fields + 1 end
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

lists = {
  completed = KEYS[1], failed = KEYS[2], delayed = KEYS[3], prioritized = KEYS[4], active = KEYS[5], waiting = KEYS[6], wait = KEYS[7],
}
areFew = #ARGV - 2 <= FEW
local function unreadable(values, problem)
  values[1] = 'unreadable'
  values[#fields + 2] = problem
  return values
end

local pausedNow = false
if held then
  -- A `meta` of another type is not this task's problem.
  local paused = redis.pcall('HGET', KEYS[8], 'paused')
  local time = redis.call('TIME')
  if type(paused) == 'string' then pausedNow = time[1] .. string.format('%03d', math.floor(time[2] / 1000)) end
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
    local place, score = placeOf(id)
    if held then values[held] = pausedNow end
    if due then values[due] = score and string.format('%.0f', math.floor(score / 0x1000)) or false end
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
