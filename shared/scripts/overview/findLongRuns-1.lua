--[[
  Finds running jobs of a queue that started long ago or have a stop, oldest first.

  KEYS[1] active
  ARGV[1] start of the queue's job keys
  ARGV[2] latest start, in ms since the epoch
  ARGV[3] most jobs to examine  ARGV[4] most jobs to return

  Returns { id, name, start, stop, id … }: the start in ms since the epoch, the stop as JSON or ''. Jobs that cannot be read are left out.
]]
local ids = redis.call('LRANGE', KEYS[1], -tonumber(ARGV[3]), -1)
local found = {}
-- BullMQ pushes to the head of the list.
for i = #ids, 1, -1 do
  if #found >= 4 * tonumber(ARGV[4]) then break end
  local job = redis.pcall('HMGET', ARGV[1] .. ids[i], 'name', 'processedOn', 'stop')
  local start = not job.err and tonumber(job[2])
  if start and (start <= tonumber(ARGV[2]) or job[3]) then
    for _, word in ipairs({ ids[i], job[1] or '', job[2], job[3] or '' }) do found[#found + 1] = word end
  end
end
return found
