--[[
  Reads live tasks from the index of texts.

  KEYS[1] the index  KEYS[2] live tasks  KEYS[3] queues of tasks
  ARGV[1] first and ARGV[2] last member  ARGV[3] most entries  ARGV[4] after and ARGV[5] before which time, '' for any
  ARGV[6…] queues, none for all

  Returns { number of entries examined, last member if more may follow, id, time, queue, id … }, in no order.
]]
local ids, last = readTexts(KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]))
local found = { #ids, last }
if #ids == 0 then return found end
local scores, queues = redis.call('ZMSCORE', KEYS[2], unpack(ids)), redis.call('HMGET', KEYS[3], unpack(ids))
local isAllowed = nil
for i = 6, #ARGV do
  isAllowed = isAllowed or {}
  isAllowed[ARGV[i]] = true
end
for i, id in ipairs(ids) do
  if scores[i] and isBetween(scores[i], ARGV[4], ARGV[5]) and (not isAllowed or isAllowed[queues[i] or '']) then
    found[#found + 1], found[#found + 2] = id, string.format('%.0f', positionOf(scores[i]))
    found[#found + 1] = queues[i] or ''
  end
end
return found
