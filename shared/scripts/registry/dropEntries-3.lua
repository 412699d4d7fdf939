--[[
  Removes the registry entries of ended tasks, unless they were registered again since they were read. The script builds the keys of
  items and leases, so all keys of the registry must be in one slot. Wrong types are ignored in keys that other programs write too:
  items and the hash of tasks.

  KEYS[1] tasks  KEYS[2] queues of tasks  KEYS[3] live tasks
  ARGV[1] start of the keys of shared items  ARGV[2] start of the keys of our items
  ARGV[3…] id, item, score when read ('' for none), key of the lease ('' for none), id, item …

  Returns the removed ids.
]]
local removed = {}
for i = 3, #ARGV, 4 do
  local id, item, score, lease = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if (redis.call('ZSCORE', KEYS[3], id) or '') == score then
    if item ~= '' then
      redis.pcall('SREM', ARGV[1] .. item, id)
      redis.pcall('SREM', ARGV[2] .. item, id)
    end
    if lease ~= '' then redis.call('DEL', lease) end
    redis.call('ZREM', KEYS[3], id)
    redis.pcall('HDEL', KEYS[1], id)
    redis.call('HDEL', KEYS[2], id)
    removed[#removed + 1] = id
  end
end
return removed
