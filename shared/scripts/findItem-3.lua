--[[
  Reads the live tasks of an item with their queues, at one moment: see findTasks.

  KEYS[1] tasks of the item  KEYS[2] tasks  KEYS[3] queues of tasks
  No ARGV.

  Returns { ids, items, queues }, all in the same order, false for what is not there.
]]
-- Lua can unpack about 8,000 values.
local AT_ONCE = 5000
local ids = redis.call('SMEMBERS', KEYS[1])
local items, queues = {}, {}
for from = 1, #ids, AT_ONCE do
  local to = math.min(from + AT_ONCE - 1, #ids)
  for i, item in ipairs(redis.call('HMGET', KEYS[2], unpack(ids, from, to))) do items[from + i - 1] = item end
  for i, queue in ipairs(redis.call('HMGET', KEYS[3], unpack(ids, from, to))) do queues[from + i - 1] = queue end
end
return { ids, items, queues }
