--[[
  Reads the schedulers of one queue, and the place of each one's next job.

  KEYS[1] repeat  KEYS[2] delayed  KEYS[3] wait  KEYS[4] prioritized  KEYS[5] active  KEYS[6] completed  KEYS[7] failed  KEYS[8] paused
  ARGV[1] start of the queue's job keys  ARGV[2…] ids of schedulers

  Returns for each { due, opts, every, pattern, tz, passed, place }, each '' if there is none; `passed` is the due time of a run that was
  fetched or stopped early. The place is pending, ended, or lost: in none of its queue's lists. A list of the wrong type may contain
  the job, so it is not lost then.
]]
local jobs = ARGV[1]

local function has(command, key, member)
  local answer = redis.pcall(command, key, member)
  return answer ~= false
end

local function fieldsOf(key, ...)
  local values = redis.pcall('HMGET', key, ...)
  return values.err and {} or values
end

local function placeOf(id)
  if has('ZSCORE', KEYS[2], id) then return 'pending' end
  local job = fieldsOf(jobs .. id, 'timestamp', 'finishedOn')
  if not job[1] then return '' end
  if job[2] then return 'ended' end
  if has('ZSCORE', KEYS[4], id) or has('LPOS', KEYS[3], id) then return 'pending' end
  if has('LPOS', KEYS[5], id) or has('LPOS', KEYS[8], id) then return 'pending' end
  if has('ZSCORE', KEYS[6], id) or has('ZSCORE', KEYS[7], id) then return 'ended' end
  return 'lost'
end

local found = {}
for i = 2, #ARGV do
  local due = redis.pcall('ZSCORE', KEYS[1], ARGV[i])
  if type(due) ~= 'string' then due = '' end
  local hash = fieldsOf(KEYS[1] .. ':' .. ARGV[i], 'opts', 'every', 'pattern', 'tz', 'passed')
  local place = due == '' and '' or placeOf('repeat:' .. ARGV[i] .. ':' .. due)
  -- Only a job with a hash can be fetched.
  if place == 'pending' and redis.call('EXISTS', jobs .. 'repeat:' .. ARGV[i] .. ':' .. due) == 0 then place = '' end
  found[i - 1] = { due, hash[1] or '', hash[2] or '', hash[3] or '', hash[4] or '', hash[5] or '', place }
end
return found
