--[[
  Finds ended tasks of one queue in an index, or in the set of ended jobs itself, in the order of a list.

  KEYS[1] the index  KEYS[2] completed or failed, which has its tasks
  ARGV[1] start of the queue's job keys  ARGV[2] conditions, see search/conditions  ARGV[3] 'completed' or 'failed'
  ARGV[4] order  ARGV[5] after and ARGV[6] before which time  ARGV[7] time and ARGV[8] id of the position, see search/walk
  ARGV[9] most entries to examine

  Returns { number of entries examined, 1 if more follow, time and id of the last entry, id, time, id … }. Stale entries are left out.
]]
local entries, more = walk(KEYS[1], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9]))
local count = #entries / 2
if count == 0 then return { 0, 0, '', '' } end
local function time(i) return string.format('%.0f', positionOf(entries[2 * i])) end

local found = { count, more and 1 or 0, time(count), entries[2 * count - 1] }
for i = 1, count do
  local id, score = entries[2 * i - 1], entries[2 * i]
  local isThere = KEYS[1] == KEYS[2] or redis.call('ZSCORE', KEYS[2], id) == score
  if isThere and endedPasses(ARGV[3], id) then
    found[#found + 1], found[#found + 2] = id, time(i)
  end
end
return found
