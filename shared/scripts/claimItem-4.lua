--[[
  Registers a task under an item and says what was live there before, at one moment: of two tasks that claim an item at
  the same time, one is the first and the other knows of it.

  KEYS[1] tasks of the item  KEYS[2] tasks  KEYS[3] queues of tasks  KEYS[4] live tasks
  ARGV[1] id  ARGV[2] item  ARGV[3] queue  ARGV[4] time in ms
  ARGV[5] 'join' to register in any case, 'reject' to do so only if nothing else is live

  Returns the ids of the item's other live tasks.
]]
local others = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if id ~= ARGV[1] then others[#others + 1] = id end
end
if ARGV[5] == 'reject' and #others > 0 then return others end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[4], ARGV[4], ARGV[1])
redis.call('SADD', KEYS[1], ARGV[1])
return others
