--[[
  Releases a lock, if the caller still holds it.

  KEYS[1] lock
  ARGV[1] owner

  Returns 1 if it did, else 0.
]]
if redis.call('TYPE', KEYS[1]).ok ~= 'string' or redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
