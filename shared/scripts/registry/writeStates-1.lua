--[[
  Adds a state of tasks to their event streams, where these exist. A final state lets the streams expire.

  KEYS[1] the stream of the task '', which is the start of their keys
  ARGV[1] the state as JSON  ARGV[2] approximate number of entries kept  ARGV[3] expiry in ms; '' for a state that is not final
  ARGV[4…] task ids

  Returns the number of streams.
]]
-- Out of memory, Redis refuses a script at its first write if that may allocate. PERSIST does not, and later writes are allowed.
redis.call('PERSIST', KEYS[1])

local found = 0
for i = 4, #ARGV do
  local stream = KEYS[1] .. ARGV[i]
  -- A key of another type is not a stream.
  if redis.call('TYPE', stream).ok == 'stream' then
    redis.call('XADD', stream, 'MAXLEN', '~', ARGV[2], '*', 'type', 'state', 'data', ARGV[1])
    if ARGV[3] ~= '' then redis.call('PEXPIRE', stream, ARGV[3]) end
    found = found + 1
  end
end
return found
