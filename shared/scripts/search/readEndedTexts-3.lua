--[[
  Finds ended tasks of one queue in the index of texts.

  KEYS[1] the index  KEYS[2] completed  KEYS[3] failed
  ARGV[1] start of the queue's job keys  ARGV[2] conditions, see search/conditions
  ARGV[3] first and ARGV[4] last member  ARGV[5] most entries  ARGV[6] after and ARGV[7] before which time, '' for any

  Returns { number of entries examined, last member if more may follow, id, time, id … }, in no order.
]]
local ids, last = readTexts(KEYS[1], ARGV[3], ARGV[4], tonumber(ARGV[5]))
local found = { #ids, last }
for _, id in ipairs(ids) do
  local score, set = redis.call('ZSCORE', KEYS[2], id), 'completed'
  if not score then score, set = redis.call('ZSCORE', KEYS[3], id), 'failed' end
  if score and isBetween(score, ARGV[6], ARGV[7]) and endedPasses(set, id) then
    found[#found + 1], found[#found + 2] = id, string.format('%.0f', positionOf(score))
  end
end
return found
