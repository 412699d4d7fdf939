--[[
  Adds a process's batch of counts to the fleet's totals, once, even if it is sent again after a lost answer.

  KEYS[1] totals  KEYS[2] counts of the batch's minute  KEYS[3] number of the process's last batch
  ARGV[1] number of this batch  ARGV[2] seconds to keep the minute  ARGV[3] seconds to remember the number
  ARGV[4] number of the following pairs that are for the totals; the rest are for the minute
  ARGV[5…] field, increment …

  Returns 1, or 0 if this batch was already added.
]]
if redis.call('GET', KEYS[3]) == ARGV[1] then return 0 end
-- Set first: if the script fails half way, counts are lost rather than counted twice.
redis.call('SET', KEYS[3], ARGV[1], 'EX', ARGV[3])
local last = 4 + 2 * tonumber(ARGV[4])
for i = 5, last, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = last + 1, #ARGV, 2 do redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1]) end
if #ARGV > last then redis.call('EXPIRE', KEYS[2], ARGV[2]) end
return 1
