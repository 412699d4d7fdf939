--[[
  Adds a process's batch of counts, once, even if it is sent again after a lost answer.

  KEYS[1] totals  KEYS[2] counts of the batch's minute  KEYS[3] number of the process's last batch
  KEYS[4], KEYS[5], KEYS[6] slots of the time series by task name: of one minute, ten minutes and an hour
  ARGV[1] number of this batch  ARGV[2] seconds to remember the number  ARGV[3] seconds to keep the minute
  ARGV[4], ARGV[5], ARGV[6] seconds to keep each slot  ARGV[7] most fields of a slot: further names count as `unknown`
  ARGV[8] number of the following pairs that are for the totals  ARGV[9] number of the next ones, for the minute; the rest are by name
  ARGV[10…] field, increment …

  Returns 1, or 0 if this batch was already added.
]]
if redis.call('GET', KEYS[3]) == ARGV[1] then return 0 end
-- Set first: if the script fails half way, counts are lost rather than counted twice.
redis.call('SET', KEYS[3], ARGV[1], 'EX', ARGV[2])
local lastTotal = 9 + 2 * tonumber(ARGV[8])
local last = lastTotal + 2 * tonumber(ARGV[9])
for i = 10, lastTotal, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = lastTotal + 1, last, 2 do redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1]) end
if last > lastTotal then redis.call('EXPIRE', KEYS[2], ARGV[3]) end
if #ARGV == last then return 1 end
for slot, key in ipairs({ KEYS[4], KEYS[5], KEYS[6] }) do
  local size = redis.pcall('HLEN', key)
  -- A slot of the wrong type must not cost the counts of the others.
  if type(size) == 'number' then
    for i = last + 1, #ARGV, 2 do
      local field = ARGV[i]
      if size >= tonumber(ARGV[7]) and redis.call('HEXISTS', key, field) == 0 then field = string.gsub(field, '|[^|]*', '|unknown', 1) end
      if redis.call('HINCRBY', key, field, ARGV[i + 1]) == tonumber(ARGV[i + 1]) then size = size + 1 end
    end
    redis.call('EXPIRE', key, ARGV[3 + slot])
  end
end
return 1
