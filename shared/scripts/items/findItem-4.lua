--[[
  Reads the live tasks of an item with their queues, atomically: see findTasks. Our tasks are in a set that only the fleet writes; tasks
  of other programs, and of older versions of the fleet, are only in the shared set.

  KEYS[1] our tasks of the item  KEYS[2] tasks of the item, shared  KEYS[3] tasks  KEYS[4] queues of tasks
  ARGV[1] most tasks, up to a few thousand

  Returns { ids, items, queues }, all in the same order, false for absent values; false alone if there are more tasks.
]]
if redis.call('SCARD', KEYS[1]) + redis.call('SCARD', KEYS[2]) > tonumber(ARGV[1]) then return false end
local ids, seen = redis.call('SMEMBERS', KEYS[1]), {}
for _, id in ipairs(ids) do seen[id] = true end
for _, id in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  if not seen[id] then ids[#ids + 1] = id end
end
if #ids == 0 then return { {}, {}, {} } end
return { ids, redis.call('HMGET', KEYS[3], unpack(ids)), redis.call('HMGET', KEYS[4], unpack(ids)) }
