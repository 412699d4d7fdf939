-- Ends our command around BullMQ's script `addStandardJob`, which precedes this text as the function `add`: see defineAddTasks. Registers
-- tasks of one queue, adds their jobs, then counts the stops that came before their jobs existed.
-- KEYS[1…9] BullMQ's  KEYS[10] pending stops
-- ARGV[1] the commands that register the tasks, as a JSON array of their words  ARGV[2…] the arguments of BullMQ's script for each job
-- Returns the number of pending stops, the errors of commands, each after the position of its command, then BullMQ's reply for each job.
-- Not PERSIST first: out of memory, Redis must refuse new tasks. A refusal of the first write is the error of the whole command: Redis
-- refuses the others too, and the client reconnects only for the error of a command, such as READONLY after a failover.
local PER_JOB = 3
local REFUSALS = { READONLY = true, OOM = true, MISCONF = true, NOREPLICAS = true, MASTERDOWN = true }

-- Up to Redis 6.2, some errors begin with their place in the script.
local function errorOf(reply)
  local text = type(reply) == 'table' and reply.err or tostring(reply)
  return { err = (string.gsub(text, '^@user_script: ?%d*: ?%-?', '')) }
end

local errors = {}
local results = { 0, errors }
for i, words in ipairs(cjson.decode(ARGV[1])) do
  local reply = redis.pcall(unpack(words))
  if type(reply) == 'table' and reply.err then
    local err = errorOf(reply)
    if i == 1 and REFUSALS[string.match(err.err, '^%u+')] then return err end
    errors[#errors + 1], errors[#errors + 2] = i - 1, err
  end
end

-- A job that BullMQ cannot add must not keep the others.
for i = 2, #ARGV, PER_JOB do
  local done, reply = pcall(add, KEYS, { ARGV[i], ARGV[i + 1], ARGV[i + 2] })
  results[#results + 1] = done and reply or errorOf(reply)
end
local pending = redis.pcall('HLEN', KEYS[10])
if type(pending) == 'number' then results[1] = pending end
return results
