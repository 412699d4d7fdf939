--[[
  Reads tasks of one queue: where each job is, and the fields that make a task's view.

  KEYS[1] completed  KEYS[2] failed  KEYS[3] delayed  KEYS[4] prioritized  KEYS[5] active  KEYS[6] waiting-children
  ARGV[1] start of the queue's job keys
  ARGV[2] names of the hash fields to read, separated by spaces
  ARGV[3…] job ids

  Returns an array with one entry an id: false if there is no such job, else { place, field values … }.
  A place is completed, failed, delayed, active or waiting. The wait list is not searched (it may be long): a job that
  is nowhere else is waiting.
]]
local fields = {}
for field in string.gmatch(ARGV[2], '%S+') do fields[#fields + 1] = field end

-- Up to this many ids a search of the active list for each is cheaper than reading the list.
local FEW = 8
local running = nil
local function isActive(id)
  if #ARGV - 2 <= FEW then return redis.call('LPOS', KEYS[5], id) ~= false end
  if not running then
    running = {}
    for _, active in ipairs(redis.call('LRANGE', KEYS[5], 0, -1)) do running[active] = true end
  end
  return running[id] == true
end

local function place(id)
  if redis.call('ZSCORE', KEYS[1], id) then return 'completed' end
  if redis.call('ZSCORE', KEYS[2], id) then return 'failed' end
  if redis.call('ZSCORE', KEYS[3], id) then return 'delayed' end
  if redis.call('ZSCORE', KEYS[4], id) then return 'waiting' end
  if redis.call('ZSCORE', KEYS[6], id) then return 'waiting' end
  if isActive(id) then return 'active' end
  return 'waiting'
end

local tasks = {}
for i = 3, #ARGV do
  local values = redis.call('HMGET', ARGV[1] .. ARGV[i], 'timestamp', unpack(fields)) -- only jobs have one, schedulers do not
  if values[1] then
    values[1] = place(ARGV[i])
    tasks[i - 2] = values
  else
    tasks[i - 2] = false
  end
end
return tasks
