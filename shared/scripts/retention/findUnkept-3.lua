--[[
  Finds ended jobs that are missing in the index of their retention, or in it with another end; one job of each index whose limits are
  missing; and, until the index of texts is complete, every job with an item or tags. The script builds the keys of jobs and indexes.

  KEYS[1] completed or failed  KEYS[2] the last limits of each index  KEYS[3] the index of texts
  ARGV[1] start of the queue's job keys
  ARGV[2] 'completed' or 'failed'
  ARGV[3] first and ARGV[4] last rank to examine

  Returns { number of jobs examined, id, name, opts, id … }.
]]
-- An index, or limits, of another type count as complete: nothing can be added to them.
local isLimited = {}
local function lacksLimits(field)
  if isLimited[field] then return false end
  isLimited[field] = true
  return redis.pcall('HEXISTS', KEYS[2], field) == 0
end

-- Once complete, the index has the texts of every task that is in the other indexes.
local lacksTexts = redis.pcall('ZSCORE', KEYS[3], 'complete') == false
local function hasTexts(job)
  local opts = redis.pcall('HGET', job, 'opts')
  if type(opts) ~= 'string' then return false end
  return string.find(opts, '"item":"[^"]') ~= nil or string.find(opts, '"tags":', 1, true) ~= nil
end

local entries = redis.call('ZRANGE', KEYS[1], ARGV[3], ARGV[4], 'WITHSCORES')
local found = { #entries / 2 }
for i = 1, #entries, 2 do
  local id, job = entries[i], ARGV[1] .. entries[i]
  local fields = redis.pcall('HMGET', job, 'name', 'stop')
  if fields[1] then
    local kind = ARGV[2] == 'failed' and fields[2] and 'cancelled' or ARGV[2]
    local field = kind .. ':' .. fields[1]
    local score = redis.pcall('ZSCORE', ARGV[1] .. 'kept:' .. field, id)
    local isMissing = type(score) ~= 'table' and score ~= entries[i + 1]
    if isMissing or lacksLimits(field) or (lacksTexts and hasTexts(job)) then
      found[#found + 1], found[#found + 2], found[#found + 3] = id, fields[1], redis.call('HGET', job, 'opts') or ''
    end
  end
end
return found
