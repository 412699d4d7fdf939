--[[
  Corrects what a start has cost of a rate. Safe to lose, not to repeat.

  KEYS[1] tasks with limits  ARGV[1] start of the limiter's keys; see records.lua
  ARGV[2] the rate's step as JSON  ARGV[3] cost to add; negative to give back

  Returns the admitted tasks, and whether keys with free places are left.
]]
local step = cjson.decode(ARGV[2])
charge(step, tonumber(ARGV[3]), tonumber(ARGV[3]) > 0 and now or 0)
if redis.call('EXISTS', lineOf(step.id)) == 1 then
  redis.call('ZADD', DUE, whole(math.max(0, creditAt(step))), step.id)
  freed[#freed + 1] = step.id
end
return { finish() }
