--[[
  Removes stale entries from a page of an index of live tasks: their task is not registered. A registration writes the queue of its task
  first, and a removal deletes it last.

  KEYS[1] the index: members are ids, or texts that end in NUL and an id  KEYS[2] queues of tasks
  ARGV[1] cursor of ZSCAN, '0' for the first page  ARGV[2] approximate entries per page

  Returns { next cursor, number of entries examined, removed members… }. The cursor is '0' after the last page.
]]
local next, entries = unpack(redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2]))
local stale = {}
for i = 1, #entries, 2 do
  local member = entries[i]
  local separator = string.find(member, '\0', 1, true)
  local id = separator and string.sub(member, separator + 1) or member
  if redis.call('HEXISTS', KEYS[2], id) == 0 then stale[#stale + 1] = member end
end
if #stale > 0 then redis.call('ZREM', KEYS[1], unpack(stale)) end
return { next, #entries / 2, unpack(stale) }
