-- Ends our loop over BullMQ's script `moveToFinished`, which precedes it as the function `finish`: see defineFinishes. Completes jobs of a
-- queue, and fetches as many.
-- KEYS[1…14] BullMQ's; the key of the job is replaced for each  ARGV[1] BullMQ's prefix of keys  ARGV[2] the field of the result
-- ARGV[3] the target  ARGV[4…] for each job: its id, end, result, whether to fetch a job, packed options
-- Returns for each job the result of BullMQ's script, or the text of an error. An error of the first job fails the command, before it has
-- ended another: Redis may refuse all of them.
local keys, results = { unpack(KEYS) }, {}
for i = 4, #ARGV, 5 do
  keys[12] = ARGV[1] .. ARGV[i]
  local given = { ARGV[i], ARGV[i + 1], ARGV[2], ARGV[i + 2], ARGV[3], ARGV[i + 3], ARGV[1], ARGV[i + 4], '' }
  local done, result = true, nil
  if i == 4 then result = finish(keys, given) else done, result = pcall(finish, keys, given) end
  if not done and type(result) == 'table' then result = result.err end
  results[#results + 1] = done and result or tostring(result)
end
return results
