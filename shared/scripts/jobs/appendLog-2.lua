--[[
  Appends lines to a task's log, which is BullMQ's log of the job, and drops the oldest lines beyond its bounds. Changes nothing if the
  job is gone, or if it has this batch already: a batch may be sent again after its reply was lost.

  KEYS[1] the job  KEYS[2] its log
  ARGV[1] the writer  ARGV[2] number of its batch, from 1
  ARGV[3] lines that the writer dropped before these
  ARGV[4] most lines kept  ARGV[5] most bytes kept
  ARGV[6…] the lines

  Returns 1, or 0 if nothing was changed.
]]
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local known = redis.call('HGET', KEYS[1], 'logs') or ''
local dropped, bytes, writer, batch = string.match(known, '^(%d+):(%d+):([%w_-]*):(%d+)$')
dropped, bytes = tonumber(dropped or 0), tonumber(bytes or 0)
if writer == ARGV[1] and tonumber(batch) >= tonumber(ARGV[2]) then return 0 end

-- Lines are numbered without a gap: those before dropped lines go too.
local skipped = tonumber(ARGV[3])
if skipped > 0 then
  dropped = dropped + redis.call('LLEN', KEYS[2]) + skipped
  bytes = 0
  redis.call('DEL', KEYS[2])
end

local lines = {}
for i = 6, #ARGV do
  lines[#lines + 1] = ARGV[i]
  bytes = bytes + #ARGV[i]
end
local length = redis.call('RPUSH', KEYS[2], unpack(lines))

local excess = math.max(0, length - tonumber(ARGV[4]))
if excess > 0 then
  for _, line in ipairs(redis.call('LRANGE', KEYS[2], 0, excess - 1)) do bytes = bytes - #line end
end
while bytes > tonumber(ARGV[5]) and excess < length - 1 do
  bytes = bytes - #redis.call('LINDEX', KEYS[2], excess)
  excess = excess + 1
end
if excess > 0 then redis.call('LTRIM', KEYS[2], excess, -1) end
-- Lines of a plain BullMQ client were never counted.
bytes = math.max(0, bytes)
redis.call('HSET', KEYS[1], 'logs', string.format('%d:%d:%s:%s', dropped + excess, bytes, ARGV[1], ARGV[2]))
return 1
