--[[
  Drops the stale entries among some of a queue's index of texts: their task is no longer in a set of ended jobs.

  KEYS[1] the index  KEYS[2] completed  KEYS[3] failed
  ARGV[1] first and ARGV[2] last rank to examine

  Returns { number of entries examined, number of entries dropped }.
]]
local members, stale = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2]), {}
for _, member in ipairs(members) do
  local separator = string.find(member, '\0', 1, true)
  local id = separator and string.sub(member, separator + 1)
  local isKept = id and (redis.call('ZSCORE', KEYS[2], id) or redis.call('ZSCORE', KEYS[3], id))
  if not isKept and member ~= 'complete' then stale[#stale + 1] = member end
end
if #stale > 0 then redis.call('ZREM', KEYS[1], unpack(stale)) end
return { #members, #stale }
