--[[
  Counts the tasks of a queue that failed since a time, by name, and reads the errors of the latest ones. The script builds the keys of
  indexes and jobs.

  KEYS[1] the last limits of each index of ended tasks
  ARGV[1] start of the queue's job keys
  ARGV[2] the time, in ms since the epoch
  ARGV[3] most errors of a name  ARGV[4] most errors of all names  ARGV[5] most bytes of an error

  Returns { name, count, { id, error, id, error … } } for each name with failures. Entries without a job are in the count only.
]]
local found, left = {}, tonumber(ARGV[4])
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local name = string.match(field, '^failed:(.*)$')
  local index = name and ARGV[1] .. 'kept:failed:' .. name
  local count = index and redis.pcall('ZCOUNT', index, ARGV[2], '+inf')
  -- An index of another type is a table with an error.
  if type(count) == 'number' and count > 0 then
    local errors = {}
    local most = math.min(left, tonumber(ARGV[3]))
    local ids = most > 0 and redis.call('ZREVRANGEBYSCORE', index, '+inf', ARGV[2], 'LIMIT', 0, most) or {}
    left = left - #ids
    for _, id in ipairs(ids) do
      local text = redis.pcall('HGET', ARGV[1] .. id, 'failedReason')
      if type(text) == 'string' then
        errors[#errors + 1] = id
        errors[#errors + 1] = string.sub(text, 1, tonumber(ARGV[5]))
      end
    end
    found[#found + 1] = { name, count, errors }
  end
end
return found
