--[[
  Finds delayed jobs of our schedules that were never fetched and are not their scheduler's next job.

  KEYS[1] delayed  KEYS[2] repeat
  ARGV[1] start of the queue's job keys  ARGV[2] number of delayed jobs to check, earliest due first

  Returns their ids.
]]
local strays = {}
local ids = redis.pcall('ZRANGE', KEYS[1], 0, ARGV[2] - 1)
if ids.err then return strays end
for _, id in ipairs(ids) do
  local schedule, due = string.match(id, '^repeat:(.+):(%d+)$')
  if schedule and redis.pcall('ZSCORE', KEYS[2], schedule) ~= due then
    local job = redis.pcall('HMGET', ARGV[1] .. id, 'opts', 'ats', 'processedOn')
    if not job.err and job[1] and not job[2] and not job[3] then
      local read, options = pcall(cjson.decode, job[1])
      -- Other programs may have schedulers on the same queue.
      if read and type(options) == 'table' and type(options.schedule) == 'table' and options.schedule.rev then strays[#strays + 1] = id end
    end
  end
end
return strays
