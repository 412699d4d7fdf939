--[[
  Checks the jobs of one queue against the conditions of a filter. Prepended to the scripts that need it.

  ARGV[1] start of the queue's job keys  ARGV[2] conditions as JSON, see shared/search/conditions.ts
]]
local wanted = cjson.decode(ARGV[2])
-- A longer field is not read: only a garbled record has one.
local LONGEST = 65536

local FIELDS = { 'timestamp', 'name', 'stop', 'skipped', 'finishedOn', 'pb', 'atm', 'unrun', 'stc', 'given_up', 'put_off' }

-- The fields of a job by name; nil for a key that is not a hash.
local function readJob(id)
  local values = redis.pcall('HMGET', ARGV[1] .. id, unpack(FIELDS))
  if values.err then
    if not string.find(values.err, 'WRONGTYPE', 1, true) then error(values.err) end
    return nil
  end
  local job = {}
  for i, field in ipairs(FIELDS) do job[field] = values[i] or nil end
  return job
end

local function readLong(id, field)
  local length = redis.pcall('HSTRLEN', ARGV[1] .. id, field)
  if type(length) ~= 'number' or length == 0 or length > LONGEST then return '' end
  return redis.call('HGET', ARGV[1] .. id, field) or ''
end

local function startsWith(text, start)
  return string.sub(text, 1, #start) == start
end

local function isMatch(match, text)
  if not text then return false end
  if match.prefix then return startsWith(text, match.text) end
  return text == match.text
end

-- Whether an item matches a pattern, given as the texts between its stars.
local function isLike(parts, item)
  local count = #parts
  if count == 1 then return item == parts[1] end
  local first, last = parts[1], parts[count]
  if #item < #first + #last or not startsWith(item, first) or string.sub(item, #item - #last + 1) ~= last then return false end
  local at, limit = #first + 1, #item - #last
  for i = 2, count - 1 do
    local from, to = string.find(item, parts[i], at, true)
    if not from or to > limit then return false end
    at = to + 1
  end
  return true
end

local function isVisible(item)
  if not wanted.visible then return true end
  if not item then return false end
  for _, parts in ipairs(wanted.visible) do
    if isLike(parts, item) then return true end
  end
  return false
end

-- Item, tags and time of the last retry, from a job's options. What cannot be read counts as absent.
local function readOptions(id)
  local isJson, options = pcall(cjson.decode, readLong(id, 'opts'))
  if not isJson or type(options) ~= 'table' then return nil, {}, nil end
  local item = type(options.item) == 'string' and options.item ~= '' and options.item or nil
  local tags = type(options.tags) == 'table' and options.tags or {}
  for _, tag in ipairs(tags) do
    if type(tag) ~= 'string' then tags = {} end
  end
  return item, tags, type(options.retriedAt) == 'number' and options.retriedAt or nil
end

local function isTagged(tags)
  local has = {}
  for _, tag in ipairs(tags) do has[tag] = true end
  for _, tag in ipairs(wanted.tags or {}) do
    if not has[tag] then return false end
  end
  return true
end

local function isFound(id, name, item, tags)
  local start = wanted.search
  if startsWith(id, start) or (name and startsWith(name, start)) or (item and startsWith(item, start)) then return true end
  for _, tag in ipairs(tags) do
    if startsWith(tag, start) then return true end
  end
  return false
end

local readsOptions = wanted.item or wanted.visible or wanted.tags or wanted.search or wanted.enqueuedAfter or wanted.enqueuedBefore

-- Whether a job passes, except for its state, which only tells whether it has an error.
local function passes(id, job, state)
  if wanted.name and not isMatch(wanted.name, job.name) then return false end
  if wanted.worker and job.pb ~= wanted.worker then return false end
  if readsOptions then
    local item, tags, retriedAt = readOptions(id)
    if wanted.item and not isMatch(wanted.item, item) then return false end
    if not isVisible(item) or not isTagged(tags) then return false end
    if wanted.search and not isFound(id, job.name, item, tags) then return false end
    local enqueued = retriedAt or tonumber(job.timestamp)
    if wanted.enqueuedAfter and not (enqueued and enqueued > wanted.enqueuedAfter) then return false end
    if wanted.enqueuedBefore and not (enqueued and enqueued < wanted.enqueuedBefore) then return false end
  end
  if not wanted.error then return true end
  if state == 'completed' or state == 'skipped' or state == 'unreadable' then return false end
  return string.find(string.lower(readLong(id, 'failedReason')), wanted.error, 1, true) ~= nil
end

