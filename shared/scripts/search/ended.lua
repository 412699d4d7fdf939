--[[
  Checks ended jobs. Prepended to the scripts that need it, after search/conditions.
]]
-- Whether an ended job of a set passes.
local function endedPasses(set, id)
  local job = readJob(id)
  local state = 'unreadable'
  if job and job.timestamp then
    if set == 'completed' then
      state = job.skipped and 'skipped' or 'completed'
    else
      state = job.stop and job.stop ~= '' and 'cancelled' or 'failed'
    end
  end
  return wanted.states[state] and passes(id, job or {}, state)
end

