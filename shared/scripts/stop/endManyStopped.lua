-- Ends our loop over `endStopped`, which precedes it as a function, with its texts: see defineFinishes. Settles stopped runs of a queue.
-- KEYS[1…14] BullMQ's; the key of the job is replaced for each  ARGV[1…] the arguments of `endStopped`, for one job after another
-- Returns for each job the result of `endStopped`, or the text of an error. An error of the first job fails the command, before it has ended
-- another: Redis may refuse all of them.
local keys, results = { unpack(KEYS) }, {}
for i = 1, #ARGV, 13 do
  keys[12] = ARGV[i + 6] .. ARGV[i]
  local given = { unpack(ARGV, i, i + 12) }
  local done, result = true, nil
  if i == 1 then result = endStopped(keys, given) else done, result = pcall(endStopped, keys, given) end
  if not done and type(result) == 'table' then result = result.err end
  results[#results + 1] = done and result or tostring(result)
end
return results
