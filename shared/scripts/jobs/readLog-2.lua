--[[
  Reads a part of a task's log.

  KEYS[1] the job  KEYS[2] its log
  ARGV[1] number of the line before the first to read, 0 for none
  ARGV[2] most lines to read

  Returns { 'missing', 'live' or 'ended', lines dropped, number of the last line, number of the line before the first read, lines … }. A
  number after the last line, of a log that was cleared since, counts as the last line's.
]]
local job = redis.call('HMGET', KEYS[1], 'timestamp', 'finishedOn', 'logs')
if not job[1] then return { 'missing', 0, 0, 0 } end
local dropped = tonumber(string.match(job[3] or '', '^(%d+):') or 0)
local last = dropped + redis.call('LLEN', KEYS[2])
local before = math.max(dropped, math.min(tonumber(ARGV[1]), last))
local first = before - dropped
local lines = redis.call('LRANGE', KEYS[2], first, first + tonumber(ARGV[2]) - 1)
return { job[2] and 'ended' or 'live', dropped, last, before, unpack(lines) }
