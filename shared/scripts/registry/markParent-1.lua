--[[
  Marks a job whose handler enqueues children, so that a stop looks for them, and keeps the ids of the newest children.

  KEYS[1] the job
  ARGV[1] how many ids are kept
  ARGV[2…] the ids of the children, without spaces, oldest first

  Returns 1, or 0 if there is no such job, which HSET would create.
]]
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local ids, seen = {}, {}
for id in string.gmatch(redis.call('HGET', KEYS[1], 'kid_ids') or '', '%S+') do
  seen[id] = true
  ids[#ids + 1] = id
end
for at = 2, #ARGV do
  -- A retried handler may enqueue a child again, under the same id.
  if not seen[ARGV[at]] then ids[#ids + 1] = ARGV[at] end
end
redis.call('HSET', KEYS[1], 'kids', 1, 'kid_ids', table.concat(ids, ' ', math.max(1, #ids - tonumber(ARGV[1]) + 1)))
return 1
