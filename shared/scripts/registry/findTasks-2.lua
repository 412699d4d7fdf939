--[[
  Reads item and queue of tasks from the registry, atomically: between two commands our own task could be added or removed, and
  look like a foreign one. A script, because Redis refuses even a read-only transaction when it is out of memory.

  KEYS[1] tasks  KEYS[2] queues of tasks
  ARGV[1…] ids, up to a few thousand

  Returns { items, queues }, both in the order of the ids, false for absent values.
]]
return { redis.call('HMGET', KEYS[1], unpack(ARGV)), redis.call('HMGET', KEYS[2], unpack(ARGV)) }
