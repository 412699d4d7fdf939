--[[
  Compares and sets a field of a hash: of several callers that read the same value, only one writes.

  KEYS[1] hash
  ARGV[1] field
  ARGV[2] the value that the caller read, '' for none
  ARGV[3] the new value, '' to remove the field

  Returns 1, or 0 if the field has changed, without writing.
]]
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
