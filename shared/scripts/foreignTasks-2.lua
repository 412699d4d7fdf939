--[[
  Finds the tasks of other programs: those in the registry that have no queue. Costs the size of the registry.

  KEYS[1] tasks  KEYS[2] queues of tasks
  No ARGV.

  Returns id, item, id, item … in no order.
]]
local foreign = {}
local tasks = redis.call('HGETALL', KEYS[1])
for i = 1, #tasks, 2 do
  if redis.call('HEXISTS', KEYS[2], tasks[i]) == 0 then
    foreign[#foreign + 1] = tasks[i]
    foreign[#foreign + 1] = tasks[i + 1]
  end
end
return foreign
