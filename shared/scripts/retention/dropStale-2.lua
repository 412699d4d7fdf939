--[[
  Drops the stale entries among some of an index: their task has left the set of ended jobs, or has ended again since.

  KEYS[1] the index  KEYS[2] completed or failed, which has its tasks
  ARGV[1] first and ARGV[2] last rank to examine

  Returns { number of entries examined, number of entries dropped }.
]]
local entries, stale = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2], 'WITHSCORES'), {}
for i = 1, #entries, 2 do
  if redis.call('ZSCORE', KEYS[2], entries[i]) ~= entries[i + 1] then stale[#stale + 1] = entries[i] end
end
if #stale > 0 then redis.call('ZREM', KEYS[1], unpack(stale)) end
return { #entries / 2, #stale }
