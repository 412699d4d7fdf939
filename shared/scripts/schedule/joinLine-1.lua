--[[
  Puts a task at the end of the line of its schedule, unless it is in the line.

  KEYS[1] line
  ARGV[1] task id
  ARGV[2] how long the line is kept after the last call, in ms

  Returns how many tasks are ahead of this one.
]]
local ahead = redis.call('ZRANK', KEYS[1], ARGV[1])
if not ahead then
  local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
  redis.call('ZADD', KEYS[1], (tonumber(last) or 0) + 1, ARGV[1])
  ahead = redis.call('ZCARD', KEYS[1]) - 1
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return ahead
