--[[
  Ends a claim of an idempotency key, if it is still ours: keeps the answer, or forgets the key.

  KEYS[1] record of the key, a hash
  ARGV[1] who claimed it  ARGV[2] the answer, '' if there is none to keep

  Returns 1 if it was ours, else 0.
]]
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'answer', ARGV[2])
redis.call('HDEL', KEYS[1], 'owner', 'until')
return 1
