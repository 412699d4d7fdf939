--[[
  Sets the mark of a wait for replicas: see docs/explanation/adr/0015-replicas.md.

  KEYS[1] the mark
  ARGV[1] expiry in ms

  Returns 1.
]]
-- Out of memory, Redis refuses a script at its first write if that may allocate. PERSIST does not, and later writes are allowed.
redis.call('PERSIST', KEYS[1])
redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
return 1
