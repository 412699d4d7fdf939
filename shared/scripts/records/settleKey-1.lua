--[[
  Ends a claim of an idempotency key, if the caller still holds it: stores the answer, or deletes the key.

  KEYS[1] record of the key, a hash
  ARGV[1] claimant  ARGV[2] the answer, '' for none

  Returns 1 if the caller held it, else 0.
]]
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'answer', ARGV[2])
redis.call('HDEL', KEYS[1], 'owner', 'until')
return 1
