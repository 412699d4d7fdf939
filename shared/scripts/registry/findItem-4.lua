--[[
  Reads the live tasks of an item with their queues, atomically: see findTasks. Our tasks are in a set that only the fleet writes; tasks
  of other programs, and of older versions of the fleet, are only in the shared set.

  KEYS[1] our tasks of the item  KEYS[2] tasks of the item, shared  KEYS[3] tasks  KEYS[4] queues of tasks
  No ARGV.

  Returns { ids, items, queues }, all in the same order, false for absent values.
]]
-- Lua can unpack about 8,000 values.
local AT_ONCE = 5000
local ids, seen = redis.call('SMEMBERS', KEYS[1]), {}
for _, id in ipairs(ids) do seen[id] = true end
for _, id in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  if not seen[id] then ids[#ids + 1] = id end
end
local items, queues = {}, {}
for from = 1, #ids, AT_ONCE do
  local to = math.min(from + AT_ONCE - 1, #ids)
  for i, item in ipairs(redis.call('HMGET', KEYS[3], unpack(ids, from, to))) do items[from + i - 1] = item end
  for i, queue in ipairs(redis.call('HMGET', KEYS[4], unpack(ids, from, to))) do queues[from + i - 1] = queue end
end
return { ids, items, queues }
