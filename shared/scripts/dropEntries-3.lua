--[[
  Removes entries of tasks that are over, unless they were registered anew since they were looked at. The sets of items
  come first, see MergedWrites; their keys are made from the item, so all keys of the registry must be in one slot.

  KEYS[1] tasks  KEYS[2] queues of tasks  KEYS[3] live tasks
  ARGV[1] start of the keys of items
  ARGV[2…] id, item, score when looked at ('' for none), id, item, score …

  Returns the ids that were removed.
]]
local removed = {}
for i = 2, #ARGV, 3 do
  local id, item, score = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if (redis.call('ZSCORE', KEYS[3], id) or '') == score then
    if item ~= '' then redis.call('SREM', ARGV[1] .. item, id) end
    redis.call('ZREM', KEYS[3], id)
    redis.call('HDEL', KEYS[1], id)
    redis.call('HDEL', KEYS[2], id)
    removed[#removed + 1] = id
  end
end
return removed
