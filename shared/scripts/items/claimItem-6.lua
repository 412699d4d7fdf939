--[[
  Registers a task under an item and returns the item's other live tasks, atomically: of two tasks that claim an item at the same
  time, the second sees the first. Only its queue tells whether our own task is live, because open-webui may delete from the
  item's shared set and the hash of tasks.

  KEYS[1] our tasks of the item  KEYS[2] tasks of the item, shared  KEYS[3] tasks  KEYS[4] queues of tasks  KEYS[5] live tasks
  KEYS[6] lease of the task
  ARGV[1] id  ARGV[2] item  ARGV[3] queue  ARGV[4] time in ms
  ARGV[5] 'join' to register in any case, 'reject' to register only if no other task is live
  ARGV[6] '1' to write the lease, '0' for none

  Returns the ids of the item's other live tasks.
]]
local others, seen = {}, { [ARGV[1]] = true }
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if redis.call('HEXISTS', KEYS[4], id) == 0 then
    -- The queue is written first and deleted last, so this entry is stale.
    redis.call('SREM', KEYS[1], id)
  elseif not seen[id] then
    seen[id] = true
    others[#others + 1] = id
  end
end
for _, id in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  if redis.call('HEXISTS', KEYS[3], id) == 0 and redis.call('HEXISTS', KEYS[4], id) == 0 then
    redis.call('SREM', KEYS[2], id)
  elseif not seen[id] then
    others[#others + 1] = id
  end
end
if ARGV[5] == 'reject' and #others > 0 then return others end
redis.call('HSET', KEYS[4], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[1])
if ARGV[6] == '1' then redis.call('SET', KEYS[6], '1') end
redis.call('ZADD', KEYS[5], ARGV[4], ARGV[1])
return others
