--[[
  Reads the live tasks of items between two of the index of items. If our tasks of an item cannot be read, the shared ones are.

  KEYS[1] items of live tasks  KEYS[2] live tasks  KEYS[3] queues of tasks
  ARGV[1] start of the keys of our items  ARGV[2] start of the keys of shared items  ARGV[3] first and ARGV[4] last item
  ARGV[5] where to continue within the first item, '' for its start  ARGV[6] enough tasks  ARGV[7] after and ARGV[8] before which time,
  '' for any  ARGV[9…] queues, none for all

  Returns { number of entries examined, first item of the next call ('' after the last), where to continue within it, id, time, queue,
  id … }, in no order; a task may appear twice.
]]
local enough = tonumber(ARGV[6])
local items = redis.call('ZRANGE', KEYS[1], ARGV[3], ARGV[4], 'BYLEX', 'LIMIT', 0, enough)
local ids, next, cursor = {}, '', ''
for i, item in ipairs(items) do
  local from = i == 1 and ARGV[5] ~= '' and ARGV[3] == '[' .. item and ARGV[5] or '0'
  repeat
    local page = redis.pcall('SSCAN', ARGV[1] .. item, from, 'COUNT', enough)
    if page.err then page = redis.pcall('SSCAN', ARGV[2] .. item, from, 'COUNT', enough) end
    if page.err then page = { '0', {} } end
    for _, id in ipairs(page[2]) do ids[#ids + 1] = id end
    from = page[1]
  until from == '0' or #ids >= enough
  if from ~= '0' then
    next, cursor = '[' .. item, from
  elseif #ids >= enough or (i == #items and i == enough) then
    next = '(' .. item
  end
  if next ~= '' then break end
end

local found = { #ids, next, cursor }
if #ids == 0 then return found end
local scores, queues = redis.call('ZMSCORE', KEYS[2], unpack(ids)), redis.call('HMGET', KEYS[3], unpack(ids))
local isAllowed = nil
for i = 9, #ARGV do
  isAllowed = isAllowed or {}
  isAllowed[ARGV[i]] = true
end
for i, id in ipairs(ids) do
  if scores[i] and isBetween(scores[i], ARGV[7], ARGV[8]) and (not isAllowed or isAllowed[queues[i] or '']) then
    found[#found + 1], found[#found + 2] = id, string.format('%.0f', positionOf(scores[i]))
    found[#found + 1] = queues[i] or ''
  end
end
return found
