--[[
  Shortens delays of jobs that are due later than their delay from now. No job that was delayed at or before this moment is: it was
  delayed by a clock that was ahead.

  KEYS[1] delayed  KEYS[2] marker
  ARGV[1] start of the queue's job keys  ARGV[2] ms that may be too many  ARGV[3…] job ids

  Returns the ids of those that are due sooner now.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- BullMQ has the due time in the upper bits of a score.
local UNIT = 4096

local shortened = {}
for i = 3, #ARGV do
  local score = redis.pcall('ZSCORE', KEYS[1], ARGV[i])
  local delay = redis.pcall('HGET', ARGV[1] .. ARGV[i], 'delay')
  local ms = type(delay) == 'string' and tonumber(delay) or nil
  -- A job without a delay of its own was put here by something else.
  if type(score) == 'string' and ms and ms > 0 and math.floor(tonumber(score) / UNIT) > now + ms + tonumber(ARGV[2]) then
    redis.call('ZADD', KEYS[1], 'XX', string.format('%.0f', (now + ms) * UNIT), ARGV[i])
    redis.pcall('ZADD', KEYS[2], 'LT', string.format('%.0f', now + ms), '1')
    shortened[#shortened + 1] = ARGV[i]
  end
end
return shortened
