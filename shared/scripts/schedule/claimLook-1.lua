--[[
  Claims the next check of the schedules for one worker of the fleet.

  KEYS[1] time of the last check
  ARGV[1] interval between checks, in ms

  Returns 1, or 0 if the last check is recent. A last check in the future means that the clock was set back since.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = tonumber(redis.pcall('GET', KEYS[1]) or '') or 0
if last <= now and now - last < tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', now), 'PX', ARGV[1])
return 1
