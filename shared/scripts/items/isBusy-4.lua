--[[
  Tells whether an item has a live task: our own with a queue, or a registered one of another program.

  KEYS[1] our tasks of the item  KEYS[2] tasks of the item, shared  KEYS[3] tasks  KEYS[4] queues of tasks
  No ARGV.

  Returns 1 or 0.
]]
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if redis.call('HEXISTS', KEYS[4], id) == 1 then return 1 end
end
for _, id in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  if redis.call('HEXISTS', KEYS[3], id) == 1 or redis.call('HEXISTS', KEYS[4], id) == 1 then return 1 end
end
return 0
