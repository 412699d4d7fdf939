--[[
  Reads item and queue of tasks from the registry, at one moment: between two commands a task of ours could come or go,
  and look like a foreign one. A script, for a transaction is refused when Redis has no memory left, also one that reads.

  KEYS[1] tasks  KEYS[2] queues of tasks
  ARGV[1…] ids, at most a few thousand

  Returns { items, queues }, both in the order of the ids, false for what is not there.
]]
return { redis.call('HMGET', KEYS[1], unpack(ARGV)), redis.call('HMGET', KEYS[2], unpack(ARGV)) }
