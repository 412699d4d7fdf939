--[[
  Finds a page of the tasks of other programs: registry entries without a queue.

  KEYS[1] tasks  KEYS[2] queues of tasks
  ARGV[1] cursor of HSCAN, '0' for the first page  ARGV[2] approximate entries per page

  Returns { next cursor, id, item, id, item … } in no order; an entry may appear twice. The cursor is '0' after the last page.
]]
local next, tasks = unpack(redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2]))
local found = { next }
for i = 1, #tasks, 2 do
  if redis.call('HEXISTS', KEYS[2], tasks[i]) == 0 then
    found[#found + 1] = tasks[i]
    found[#found + 1] = tasks[i + 1]
  end
end
return found
