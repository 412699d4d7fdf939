--[[
  Acquires a lock that is free, or that an earlier run of the same task left behind: BullMQ starts a task again only after its
  worker has lost it.

  KEYS[1] lock
  ARGV[1] the new owner  ARGV[2] its expiry in ms
  ARGV[3] prefix of owners that run the same task

  Returns 'taken' and the previous owner ('' for none); or 'held', the owner, and the remaining ms (-1 for no expiry).
]]
local kind = redis.call('TYPE', KEYS[1]).ok
local holder = ''
if kind == 'string' then
  holder = redis.call('GET', KEYS[1])
  if string.sub(holder, 1, #ARGV[3]) ~= ARGV[3] then return { 'held', string.sub(holder, 1, 256), redis.call('PTTL', KEYS[1]) } end
elseif kind ~= 'none' then
  return { 'held', 'a ' .. kind, redis.call('PTTL', KEYS[1]) }
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return { 'taken', holder, 0 }
