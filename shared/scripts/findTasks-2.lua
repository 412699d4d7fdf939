--[[
  Reads item and queue of tasks from the registry, at one moment: between two commands a task of ours could come or go,
  and look like a foreign one. A script, for a transaction is refused when Redis has no memory left, also one that reads.

  KEYS[1] tasks  KEYS[2] queues of tasks
  ARGV[1…] ids

  Returns { items, queues }, both in the order of the ids, false for what is not there.
]]
local items, queues = {}, {}
for i, id in ipairs(ARGV) do
  items[i] = redis.call('HGET', KEYS[1], id)
  queues[i] = redis.call('HGET', KEYS[2], id)
end
return { items, queues }
