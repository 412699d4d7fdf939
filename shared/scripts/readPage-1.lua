--[[
  Reads a page of one of a queue's lists of jobs, and which of them have a stop.

  KEYS[1] the list, or sorted set
  ARGV[1] start of the queue's job keys
  ARGV[2] place of the first  ARGV[3] place of the last

  Returns { ids, ids of those with a stop }.
]]
local read = redis.call('TYPE', KEYS[1]).ok == 'list' and 'LRANGE' or 'ZRANGE'
local ids = redis.call(read, KEYS[1], ARGV[2], ARGV[3])
local stopped = {}
for _, id in ipairs(ids) do
  if redis.call('HEXISTS', ARGV[1] .. id, 'stop') == 1 then stopped[#stopped + 1] = id end
end
return { ids, stopped }
