--[[
  Shortens the delay of jobs that are due later than now plus their delay: a clock that was ahead has delayed them.

  KEYS[1] delayed  KEYS[2] marker
  ARGV[1] start of the queue's job keys  ARGV[2] tolerance in ms  ARGV[3…] job ids

  Returns the ids of the shortened jobs.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- BullMQ keeps the due time in the upper bits of the score.
local UNIT = 4096

local shortened = {}
for i = 3, #ARGV do
  local score = redis.pcall('ZSCORE', KEYS[1], ARGV[i])
  local delay = redis.pcall('HGET', ARGV[1] .. ARGV[i], 'delay')
  local ms = type(delay) == 'string' and tonumber(delay) or nil
  -- A job without a delay of its own was delayed for another reason.
  if type(score) == 'string' and ms and ms > 0 and math.floor(tonumber(score) / UNIT) > now + ms + tonumber(ARGV[2]) then
    redis.call('ZADD', KEYS[1], 'XX', string.format('%.0f', (now + ms) * UNIT), ARGV[i])
    redis.pcall('ZADD', KEYS[2], 'LT', string.format('%.0f', now + ms), '1')
    shortened[#shortened + 1] = ARGV[i]
  end
end
return shortened
