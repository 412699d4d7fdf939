--[[
  Reads live tasks from an index or from the list of live tasks, in the order of a list.

  KEYS[1] the index  KEYS[2] live tasks  KEYS[3] queues of tasks  KEYS[4] an index that has the tasks too, or the first again
  ARGV[1] order  ARGV[2] after and ARGV[3] before which time  ARGV[4] time and ARGV[5] id of the position, see search/walk
  ARGV[6] most entries to examine  ARGV[7] start of the ids, '' for any  ARGV[8…] queues, none for all

  Returns { number of entries examined, 1 if more follow, time and id of the last entry, id, time, queue, id … }. Stale entries are left out.
  The queue is '' if it is unknown.
]]
local entries, more = walk(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]))
local count = #entries / 2
if count == 0 then return { 0, 0, '', '' } end
local ids = {}
for i = 1, count do ids[i] = entries[2 * i - 1] end
local queues = redis.call('HMGET', KEYS[3], unpack(ids))
local live = KEYS[1] ~= KEYS[2] and redis.call('ZMSCORE', KEYS[2], unpack(ids))
local also = KEYS[1] ~= KEYS[4] and redis.call('ZMSCORE', KEYS[4], unpack(ids))
local isAllowed = nil
for i = 8, #ARGV do
  isAllowed = isAllowed or {}
  isAllowed[ARGV[i]] = true
end
local start = ARGV[7]
local function time(i) return string.format('%.0f', positionOf(entries[2 * i])) end

local found = { count, more and 1 or 0, time(count), ids[count] }
for i = 1, count do
  local isLive = (not live or live[i]) and (not also or also[i])
  if isLive and (not isAllowed or isAllowed[queues[i] or '']) and (start == '' or string.sub(ids[i], 1, #start) == start) then
    found[#found + 1], found[#found + 2], found[#found + 3] = ids[i], time(i), queues[i] or ''
  end
end
return found
