--[[
  Walks a sorted set of task ids in the order of a list: by score, then by id, both descending for 'newest' and ascending for 'oldest'.
  Prepended to the scripts that need it.
]]
local LAST = 9999999999999

-- A position names whole ms, as the cursors of pages do.
local function positionOf(score)
  return math.floor(math.min(math.max(tonumber(score) or 0, 0), LAST))
end

-- Compares bytes, as sorted sets do. Lua compares strings by the locale.
local function isBefore(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- The rank from which a list continues after a position; an empty id stands for the end of its millisecond.
local function rankAfter(key, isNewest, at, id)
  local next = string.format('%.0f', tonumber(at) + 1)
  local same = redis.call('ZCOUNT', key, at, '(' .. next)
  local first = isNewest and redis.call('ZCOUNT', key, next, '+inf') or redis.call('ZCOUNT', key, '-inf', '(' .. at)
  if id == '' then return first + same end
  local score = redis.call('ZSCORE', key, id)
  if score and positionOf(score) == tonumber(at) then
    return redis.call(isNewest and 'ZREVRANK' or 'ZRANK', key, id) + 1
  end
  -- The task has left the set: its neighbours of the same millisecond are sorted by id.
  local low, high = 0, same
  while low < high do
    local middle = math.floor((low + high) / 2)
    local other = redis.call('ZRANGE', key, first + middle, first + middle, unpack(isNewest and { 'REV' } or {}))[1]
    local isSeen = other == id or (isNewest and isBefore(id, other) or (not isNewest and isBefore(other, id)))
    if isSeen then low = middle + 1 else high = middle end
  end
  return first + low
end

-- Returns up to `most` members and scores between two times, both exclusive ('' for none), after a position ('' for the start), and whether
-- more follow.
local function walk(key, order, after, before, at, id, most)
  local isNewest = order == 'newest'
  local first, last
  if isNewest then
    first = before == '' and 0 or redis.call('ZCOUNT', key, before, '+inf')
    last = (after == '' and redis.call('ZCARD', key) or redis.call('ZCOUNT', key, '(' .. after, '+inf')) - 1
  else
    first = after == '' and 0 or redis.call('ZCOUNT', key, '-inf', after)
    last = (before == '' and redis.call('ZCARD', key) or redis.call('ZCOUNT', key, '-inf', '(' .. before)) - 1
  end
  if at ~= '' then first = math.max(first, rankAfter(key, isNewest, at, id)) end
  if first > last then return {}, false end
  local stop = math.min(last, first + most - 1)
  local entries = redis.call('ZRANGE', key, first, stop, unpack(isNewest and { 'REV', 'WITHSCORES' } or { 'WITHSCORES' }))
  return entries, stop < last
end

