--[[
  Sets or clears a limit at run time, and lets waiting tasks on. For every key of an owner, call it again with the returned cursor.

  KEYS[1] tasks with limits  ARGV[1] start of the limiter's keys; see records.lua
  ARGV[2] the key's id, or `<owner>:*` for every key of an owner  ARGV[3] the limit; '' to clear it  ARGV[4] cursor, '0' at first

  Returns the admitted tasks, whether keys with free places are left, and the next cursor, '0' at the end.
]]
local SETTINGS = START .. 'set'
if ARGV[3] == '' then redis.call('HDEL', SETTINGS, ARGV[2]) else redis.call('HSET', SETTINGS, ARGV[2], ARGV[3]) end
local cursor = '0'
if string.sub(ARGV[2], -2) == ':*' then
  local owner = string.sub(ARGV[2], 1, -2)
  local batch = redis.call('ZSCAN', LINES, ARGV[4], 'COUNT', 500)
  cursor = batch[1]
  for i = 1, #batch[2], 2 do
    if string.sub(batch[2][i], 1, #owner) == owner then freed[#freed + 1] = batch[2][i] end
  end
else
  freed[#freed + 1] = ARGV[2]
end
local others, left = finish()
return { others, left, cursor }
