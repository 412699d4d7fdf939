--[[
  Writes the journal of a bulk, unless another run of its task has taken the journal since: a frozen worker may wake up late.

  KEYS[1] journal, a hash  KEYS[2] receipts, a list
  ARGV[1] the run  ARGV[2] '1' to take the journal  ARGV[3] how long both are kept, in ms  ARGV[4] the most receipts that are kept
  ARGV[5] the number of fields and values, which follow, then receipts

  Returns 1, or 0 if another run has the journal.
]]
-- Out of memory, Redis refuses a script at its first write if that may allocate. PERSIST does not, and later writes are allowed.
redis.call('PERSIST', KEYS[1])
if ARGV[2] == '1' then
  redis.call('HSET', KEYS[1], 'run', ARGV[1])
elseif redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return 0
end
local firstReceipt = 6 + tonumber(ARGV[5])
if firstReceipt > 6 then redis.call('HSET', KEYS[1], unpack(ARGV, 6, firstReceipt - 1)) end
local room = tonumber(ARGV[4]) - redis.call('LLEN', KEYS[2])
local last = math.min(#ARGV, firstReceipt - 1 + room)
if last >= firstReceipt then redis.call('RPUSH', KEYS[2], unpack(ARGV, firstReceipt, last)) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
