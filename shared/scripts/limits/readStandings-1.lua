--[[
  Reads what tasks with limits wait for. Writes nothing.

  KEYS[1] tasks with limits  ARGV[1] start of the limiter's keys; see records.lua
  ARGV[2…] task ids

  Returns per id: false for a task without a record; else state, queue, time of the start and run, and for a task in a line: kind, key, limit,
  holders, position, length, time of the rate, ids of holders.
]]
local answers = {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local record = load(id)
  answers[i - 1] = false
  if record then
    local answer = { record.state, record.queue, whole(tonumber(record.at) or 0), record.run or '' }
    for _, step in ipairs(record.line and record.steps or {}) do
      if step.id == record.line and not answer[5] then
        local isRate = step.kind == 'rate'
        local more = {
          step.kind, step.id, whole(isRate and rateOf(step).limit or limitOf(step)), redis.call('ZCARD', placesOf(step.id)),
          (redis.call('ZRANK', lineOf(step.id), id) or 0) + 1, redis.call('ZCARD', lineOf(step.id)),
          isRate and whole(math.ceil(math.max(now, creditAt(step)))) or '0', redis.call('ZRANGE', placesOf(step.id), 0, 2),
        }
        for _, value in ipairs(more) do answer[#answer + 1] = value end
      end
    end
    answers[i - 1] = answer
  end
end
return answers
