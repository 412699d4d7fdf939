--[[
  Finds the jobs of one queue that pass a filter, among given ones.

  KEYS[1] completed  KEYS[2] failed  KEYS[3] delayed  KEYS[4] prioritized  KEYS[5] active  KEYS[6] waiting-children
  KEYS[7] wait
  ARGV[1] start of the queue's job keys  ARGV[2] conditions, see search/conditions  ARGV[3…] ids

  Returns { position of an id, answer, state, position … } for those that may pass. The answer is 0 for a task that passes. For a delayed job with
  limits it may be 1: passes unless the limiter has it in a line, or 2: passes only then. The state of
  such a job ends in `?`: it is queued if the limiter has it in a line.
]]
lists = {
  completed = KEYS[1], failed = KEYS[2], delayed = KEYS[3], prioritized = KEYS[4], active = KEYS[5], waiting = KEYS[6], wait = KEYS[7],
}
areFew = #ARGV - 2 <= FEW

local function isStopped(job) return job.stop ~= nil and job.stop ~= '' end

local function count(text) return math.max(0, tonumber(text or '') or 0) end

local function attemptsOf(job)
  local made = count(job.atm) - (job.unrun == '1' and 1 or 0)
  return math.max(0, made) + math.max(0, count(job.stc) - count(job.given_up)) + (job.put_off == '1' and 1 or 0)
end

-- The state of a task, and whether its limits may have put it into a line.
local function stateOf(id, job)
  local place, score = placeOf(id)
  if not place and broken then return 'unreadable' end
  if not job.timestamp then return place and 'unreadable' or nil end
  place = place or endOf(id, job.finishedOn) or 'waiting'
  if place == 'completed' then return job.skipped and 'skipped' or 'completed' end
  if place == 'failed' then return isStopped(job) and 'cancelled' or 'failed' end
  if isStopped(job) then return 'stopping' end
  if place == 'active' then return 'running' end
  if place == 'waiting-children' then return 'waiting' end
  local isDelayed = place == 'delayed'
  if isDelayed and math.floor(score / 0x1000) >= wanted.parkedFrom then return 'queued' end
  local state = attemptsOf(job) > 0 and 'retrying' or (isDelayed and 'scheduled' or 'queued')
  return state, isDelayed and string.find(readLong(id, 'opts'), '"limits":', 1, true) ~= nil
end

local found = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local job = readJob(id)
  local state, isLimited
  if job then state, isLimited = stateOf(id, job) else state = 'unreadable' end
  local inState = state and wanted.states[state] or false
  local inLine = isLimited and wanted.states.queued or false
  if (inState or inLine) and passes(id, job or {}, state) then
    found[#found + 1] = i - 2
    found[#found + 1] = (not isLimited or inState == inLine) and 0 or (inState and 1 or 2)
    found[#found + 1] = isLimited and state .. '?' or state
  end
end
return found
