--[[
  Describes keys of limits. Writes nothing.

  KEYS[1] tasks with limits  ARGV[1] start of the limiter's keys; see records.lua
  ARGV[2…] ids of keys

  Returns per key: id, kind ('' if unknown), limit ('' if unknown), what is set ('' for none), holders, waiting tasks, since when the first of
  them has waited ('0' without a line), time of the rate ('0' for places).
]]
local function describe(key)
  local head = redis.call('ZRANGE', lineOf(key), 0, 0)[1]
  local first = head or redis.call('ZRANGE', placesOf(key), 0, 0)[1]
  local record = first and load(first) or nil
  local found = nil
  for _, step in ipairs(record and record.steps or {}) do
    if step.id == key then found = step end
  end
  local kind, limit, at, since = '', '', '0', '0'
  if found then
    kind = found.kind
    limit = whole(kind == 'rate' and rateOf(found).limit or limitOf(found))
    if kind == 'rate' then at = whole(math.ceil(math.max(now, creditAt(found)))) end
  end
  if head then since = whole(record and tonumber(record.since) or tonumber(redis.call('ZSCORE', LINES, key) or '') or now) end
  return {
    key, kind, limit, redis.call('HGET', START .. 'set', key) or '', redis.call('ZCARD', placesOf(key)),
    redis.call('ZCARD', lineOf(key)), since, at,
  }
end

local found = {}
for i = 2, #ARGV do found[i - 1] = describe(ARGV[i]) end
return found
