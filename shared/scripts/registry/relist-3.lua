--[[
  Restores the shared entries of our live tasks after open-webui has deleted them, which it does right after asking for a stop, while
  the task is still ending. A task that is just being removed is not restored: its removal begins with the list of live tasks.

  KEYS[1] tasks  KEYS[2] queues of tasks  KEYS[3] live tasks
  ARGV[1] start of the keys of shared items
  ARGV[2…] id, item, key of the lease ('' for none), id, item …

  Returns the ids that are live.
]]
local live = {}
for i = 2, #ARGV, 3 do
  local id, item, lease = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if redis.call('ZSCORE', KEYS[3], id) and redis.call('HEXISTS', KEYS[2], id) == 1 then
    redis.call('HSET', KEYS[1], id, item)
    if item ~= '' then redis.call('SADD', ARGV[1] .. item, id) end
    if lease ~= '' then redis.call('SET', lease, '1') end
    live[#live + 1] = id
  end
end
return live
