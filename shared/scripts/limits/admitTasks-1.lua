--[[
  Admits tasks that are being enqueued: each acquires its limits or joins the first line that it must wait in. Safe to repeat.

  KEYS[1] tasks with limits  ARGV[1] start of the limiter's keys; see records.lua
  ARGV[2…] tasks as JSON: `id`, `queue`, `name`, `priority`, `steps`, `deadline`, `ancestors`, `nonce` and `whenBusy` (wait, reject,
           stop-previous, replace-waiting)

  Returns the admitted tasks of others, whether keys with free places are left, then one answer per task:
  `{go}`, `{at, time}` or `{line}`, each with the ids of the tasks to stop; or `{busy, key, ids}` or `{parent, key, ids}`: nothing was written.
]]
-- A task stops or replaces this many at most.
local MOST_RIVALS = 1000

local function holdersOf(id, key, most)
  local found = {}
  for _, list in ipairs({ redis.call('ZRANGE', placesOf(key), 0, most), redis.call('ZRANGE', lineOf(key), 0, most) }) do
    for _, other in ipairs(list) do
      if other ~= id and #found < most then found[#found + 1] = other end
    end
  end
  return found
end

local function isFull(step)
  return redis.call('ZCARD', placesOf(step.id)) >= limitOf(step) or redis.call('EXISTS', lineOf(step.id)) == 1
end

local function refusal(task, firstKey)
  local isBlocked = false
  for _, step in ipairs(task.steps) do
    if step.kind ~= 'rate' and isFull(step) then
      for _, ancestor in ipairs(task.ancestors or {}) do
        if redis.call('ZSCORE', placesOf(step.id), ancestor) then return { 'parent', step.id, { ancestor } } end
      end
      if step.kind == 'place' and not isBlocked then
        isBlocked = true
        if task.whenBusy == 'reject' then return { 'busy', step.id, holdersOf(task.id, step.id, 10) } end
        local replaces = task.whenBusy ~= 'wait' and step == firstKey
        if not replaces and step.maxWaiting and redis.call('ZCARD', lineOf(step.id)) >= step.maxWaiting then
          return { 'busy', step.id, holdersOf(task.id, step.id, 10) }
        end
      end
    end
  end
  return nil
end

-- Of two enqueues that repeat after a lost reply, the newer one stops the older.
local function olderOf(ids, record)
  local older = {}
  for _, id in ipairs(ids) do
    local other = load(id)
    if other and other.seq < record.seq then older[#older + 1] = id end
  end
  return older
end

local function rivalsOf(task, key)
  if not key then return {} end
  if task.whenBusy == 'replace-waiting' then
    local rivals = {}
    for _, other in ipairs(redis.call('ZRANGE', lineOf(key.id), 0, MOST_RIVALS)) do
      if other ~= task.id then rivals[#rivals + 1] = other end
    end
    return rivals
  end
  if task.whenBusy ~= 'stop-previous' then return {} end
  local found = holdersOf(task.id, key.id, MOST_RIVALS)
  -- The newest may stay, as far as there are places.
  for _ = 1, math.max(0, math.min(limitOf(key), 1000000) - 1) do found[#found] = nil end
  return found
end

local function standing(record)
  if record.state == 'line' then return { 'line', '0' } end
  if record.state == 'admitted' and (tonumber(record.at) or 0) > now then return { 'at', whole(record.at) } end
  return { 'go', '0' }
end

local function firstKeyOf(task)
  for _, step in ipairs(task.steps) do
    if step.kind == 'place' then return step end
  end
  return nil
end

local answers, own = {}, {}
for i = 2, #ARGV do
  local task = cjson.decode(ARGV[i])
  local record = load(task.id)
  if record then
    -- Either enqueue may have made the task, so neither may take the record back.
    if record.nonce and record.nonce ~= task.nonce then
      record.nonce = nil
      change(task.id, record)
    end
    local rivals = task.whenBusy == 'wait' and {} or olderOf(rivalsOf(task, firstKeyOf(task)), record)
    answers[i - 1] = { 'known', task.id, rivals }
  else
    local firstKey = firstKeyOf(task)
    local refused = refusal(task, firstKey)
    if refused then
      answers[i - 1] = refused
    else
      record = {
        queue = task.queue, name = task.name, priority = task.priority, steps = task.steps, deadline = task.deadline, nonce = task.nonce,
        seq = nextNumber(), step = 1, state = 'line', at = 0, paid = false, since = math.floor(now),
      }
      own[task.id] = true
      advance(task.id, record, nil)
      answers[i - 1] = { 'new', task.id, rivalsOf(task, firstKey) }
    end
  end
end

-- A place that one of these tasks gave up may have let another of them on, so their standing is read last.
settle()
for i, answer in ipairs(answers) do
  if answer[1] == 'new' or answer[1] == 'known' then
    answers[i] = standing(load(answer[2]))
    answers[i][3] = answer[3] or {}
  end
end
local others, left = finish(own)
return { others, left, answers }
