--[[
  Claims the next look at the schedules for one worker of the fleet.

  KEYS[1] when somebody looked last
  ARGV[1] ms for which one look is enough

  Returns 1, or 0 if somebody has just looked. A time from the future is of a clock that was set back since.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = tonumber(redis.pcall('GET', KEYS[1]) or '') or 0
if last <= now and now - last < tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', now), 'PX', ARGV[1])
return 1
