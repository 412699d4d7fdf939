--[[
  Removes items without tasks of ours from a page of the index of items. A crash, or a worker of an older version, leaves them behind.

  KEYS[1] items of live tasks
  ARGV[1] start of the keys of our items  ARGV[2] cursor of ZSCAN, '0' for the first page  ARGV[3] approximate entries per page

  Returns { next cursor, number of entries examined, removed items… }. The cursor is '0' after the last page.
]]
local next, entries = unpack(redis.call('ZSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3]))
local stale = {}
for i = 1, #entries, 2 do
  if redis.call('EXISTS', ARGV[1] .. entries[i]) == 0 then stale[#stale + 1] = entries[i] end
end
if #stale > 0 then redis.call('ZREM', KEYS[1], unpack(stale)) end
return { next, #entries / 2, unpack(stale) }
