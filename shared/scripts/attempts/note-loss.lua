--[[
  noteLoss(job, now): records that the run of an active job was lost with its worker, in the field and form of an attempt's record
  (shared/attempt/attempt.ts). Call it before `stc`, the number of stalls, is raised.

  Returns `noted`, or for a run that has a record already, which stays: `given_up` if its worker lives, and handed the task back or lost
  the lock while its connection was away, else `known`.
]]
local function wholeNumber(text)
  local value = tonumber(text or '') or 0
  return math.abs(value) < 2 ^ 53 and math.floor(value) or 0 -- false for NaN
end

local function noteLoss(job, now)
  local fields = redis.pcall('HMGET', job, 'atm', 'ats', 'tries', 'stc', 'given_up', 'pb', 'processedOn')
  if fields.err then return 'known' end
  local run = math.max(0, wholeNumber(fields[2]) + wholeNumber(fields[3]))
  local field = string.format('try%d', run % 20)
  local isRead, record = pcall(cjson.decode, redis.call('HGET', job, field) or 'null')
  if isRead and type(record) == 'table' and record.run == run then
    return (record.outcome == 'requeued' or record.given_up == true) and 'given_up' or 'known'
  end
  local losses = math.max(0, wholeNumber(fields[4]) - wholeNumber(fields[5]))
  local started = wholeNumber(fields[7])
  redis.call('HSET', job, field, string.format(
    '{"number":%.0f,"run":%.0f,"worker":%s,"started":%s,"ended":%.0f,"outcome":"worker_lost"}',
    math.max(0, wholeNumber(fields[1])) + losses + 1, run, fields[6] and cjson.encode(fields[6]) or 'null',
    started > 0 and string.format('%.0f', started) or 'null', now
  ))
  return 'noted'
end
