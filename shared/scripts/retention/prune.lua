--[[
  Removes the ended tasks that exceed the limits of their retention, oldest first.

  Prepended to the scripts that need it. An index is a sorted set with the ended tasks of one queue, kind and name, scored by their
  end. An entry is stale if its task has left the set of ended jobs, or has ended again since: then only the entry is dropped.
]]
-- The tasks that a parent in a BullMQ flow still waits for, each followed by the parent's key. The caller detaches them.
local attached = {}

local function parentOf(job, parent)
  if not parent or parent == '' then return nil end
  -- The key may be of another type or, on a cluster, in another slot.
  if redis.pcall('EXISTS', parent) ~= 1 then return nil end
  return redis.pcall('SISMEMBER', parent .. ':dependencies', job) == 1 and parent or nil
end

-- Removes a task from the index of texts. Options that cannot be read have no item and no tags.
local function removeTexts(jobs, id, options)
  if not options or (string.find(options, '"item":""', 1, true) and not string.find(options, '"tags":', 1, true)) then return end
  local isJson, read = pcall(cjson.decode, options)
  if not isJson or type(read) ~= 'table' then return end
  local members = {}
  if type(read.item) == 'string' and read.item ~= '' then members[1] = 'i' .. read.item .. '\0' .. id end
  for _, tag in ipairs(type(read.tags) == 'table' and read.tags or {}) do
    if type(tag) == 'string' then members[#members + 1] = 't' .. tag .. '\0' .. id end
  end
  if #members > 0 then redis.pcall('ZREM', jobs .. 'kept:texts', unpack(members)) end
end

-- Removes what BullMQ keeps for a job besides its place. A deduplication key that expires outlives its job, as with BullMQ.
local function removeKeys(jobs, id, deduplication, options)
  local job = jobs .. id
  removeTexts(jobs, id, options)
  if deduplication then
    local key = jobs .. 'de:' .. deduplication
    if redis.pcall('GET', key) == id and redis.call('PTTL', key) == -1 then redis.call('DEL', key, jobs .. 'dn:' .. deduplication) end
  end
  redis.call('DEL', job, job .. ':logs', job .. ':dependencies', job .. ':processed', job .. ':failed', job .. ':unsuccessful')
end

-- Removes up to `most` tasks. Returns how many entries were dropped.
local function prune(jobs, index, ended, limits, most)
  local age, count = string.match(limits, '^(%d*):(%d*)$')
  age, count = tonumber(age), tonumber(count)
  local over = count and redis.call('ZCARD', index) - count or 0
  if age then
    local now = redis.call('TIME')
    local oldest = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000) - age * 1000
    over = math.max(over, redis.call('ZCOUNT', index, '-inf', string.format('%.0f', oldest)))
  end
  if over <= 0 then return 0 end
  local ids = redis.call('ZRANGE', index, 0, math.min(over, most) - 1)
  local kept, scores = redis.call('ZMSCORE', index, unpack(ids)), redis.call('ZMSCORE', ended, unpack(ids))
  local dropped, removed = {}, {}
  for i, id in ipairs(ids) do
    local job, parent = jobs .. id, nil
    if scores[i] == kept[i] then
      local fields = redis.pcall('HMGET', job, 'parentKey', 'deid', 'opts')
      parent = parentOf(job, fields[1])
      if parent then
        attached[#attached + 1], attached[#attached + 2] = id, parent
      else
        removeKeys(jobs, id, fields[2], fields[3])
        removed[#removed + 1] = id
      end
    end
    if not parent then dropped[#dropped + 1] = id end
  end
  if #removed > 0 then redis.call('ZREM', ended, unpack(removed)) end
  if #dropped > 0 then redis.call('ZREM', index, unpack(dropped)) end
  return #dropped
end
