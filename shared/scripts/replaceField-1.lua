--[[
  Writes a field of a hash, if it still holds what the caller has read: of several that read the same, one writes.

  KEYS[1] hash
  ARGV[1] field
  ARGV[2] what the caller has read, '' for nothing
  ARGV[3] what it is to hold

  Returns 1; or 0 if it holds something else by now, and nothing was written.
]]
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
