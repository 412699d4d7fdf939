--[[
  Adds what a process has counted to the totals of the fleet, once: a batch whose answer was lost is sent again.

  KEYS[1] totals  KEYS[2] what ended within the batch's minute  KEYS[3] number of the process's last batch
  ARGV[1] number of this batch  ARGV[2] seconds to keep the minute  ARGV[3] seconds to remember the number
  ARGV[4] how many of the pairs that follow are for the totals; the rest is for the minute
  ARGV[5…] field, increment …

  Returns 1, or 0 if this batch had been added before.
]]
if redis.call('GET', KEYS[3]) == ARGV[1] then return 0 end
-- First: a batch that breaks off in the middle is rather lost than counted twice.
redis.call('SET', KEYS[3], ARGV[1], 'EX', ARGV[3])
local last = 4 + 2 * tonumber(ARGV[4])
for i = 5, last, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = last + 1, #ARGV, 2 do redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1]) end
if #ARGV > last then redis.call('EXPIRE', KEYS[2], ARGV[2]) end
return 1
