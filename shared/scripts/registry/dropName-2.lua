--[[
  Forgets a name without live tasks. A registration adds its task to the index before the name.

  KEYS[1] names of live tasks  KEYS[2] the index of the name
  ARGV[1] member of the names

  Returns the number of forgotten members.
]]
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
return redis.call('SREM', KEYS[1], ARGV[1])
