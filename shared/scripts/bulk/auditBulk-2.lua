--[[
  Adds the end of a bulk to the audit, once for each run of its task.

  KEYS[1] journal, a hash  KEYS[2] audit, a stream
  ARGV[1] the run  ARGV[2] the most entries of the audit, then fields and values of the entry

  Returns 1, or 0 if the run has added its end, or another run has the journal.
]]
local journal = redis.call('HMGET', KEYS[1], 'run', 'audited')
if journal[1] ~= ARGV[1] or journal[2] == ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'audited', ARGV[1])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 3))
return 1
