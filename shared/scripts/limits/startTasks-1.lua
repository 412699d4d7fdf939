--[[
  Lets fetched tasks start if they are admitted, or can be now; others join a line. Safe to repeat: each run pays its rates once.

  KEYS[1] tasks with limits  ARGV[1] start of the limiter's keys; see records.lua
  ARGV[2…] tasks as JSON, as for admitTasks, with `run`, which names the run until its release

  Returns the admitted tasks of others, whether keys with free places are left, then `{go}`, `{at, time}` or `{line}` for each task.
]]
allowFullMemory()

local function isComplete(id, record)
  for _, step in ipairs(record.steps) do
    if step.kind == 'place' and not redis.call('ZSCORE', placesOf(step.id), id) then return false end
  end
  return true
end

local own, runs = {}, {}
for i = 2, #ARGV do
  local task = cjson.decode(ARGV[i])
  own[task.id], runs[task.id] = true, task.run
  local record = load(task.id)
  if not record then
    record = {
      queue = task.queue, name = task.name, priority = task.priority, deadline = task.deadline,
      seq = nextNumber(), step = 1, state = 'line', at = 0, paid = false, since = math.floor(now),
    }
    record.steps = task.steps
    advance(task.id, record, nil)
  elseif record.state == 'running' and task.run and record.run == task.run and isComplete(task.id, record) then
    -- The answer was lost: this run has paid.
    record.step = #record.steps + 1
  elseif record.state ~= 'line' then
    local again = record.state == 'running'
    if not isComplete(task.id, record) then
      -- The sweep took it for dead, or it was admitted because of its deadline.
      settlePayment(task.id, record, false)
      record.step = 1
      advance(task.id, record, nil)
    elseif again or not record.paid then
      -- Requeued, or its worker was lost: it keeps its places, and pays again.
      local first = nil
      for j, step in ipairs(record.steps) do
        if step.kind == 'rate' and not first then first = j end
      end
      if first then
        record.step = first
        advance(task.id, record, nil, true)
      end
    end
  end
end
settle()

local answers = {}
for i = 2, #ARGV do
  local id = cjson.decode(ARGV[i]).id
  local record = load(id)
  if record.state == 'line' then
    answers[i - 1] = { 'line', '0' }
  elseif record.state == 'admitted' and (tonumber(record.at) or 0) > now + 1 then
    answers[i - 1] = { 'at', whole(record.at) }
  else
    settlePayment(id, record, true)
    record.state, record.at, record.run = 'running', 0, runs[id]
    change(id, record)
    redis.call('ZREM', ADMITTED, id)
    for _, step in ipairs(record.steps) do
      if step.kind == 'turn' then free(id, step) end
    end
    answers[i - 1] = { 'go', '0' }
  end
end
local others, left = finish(own)
return { others, left, answers }
