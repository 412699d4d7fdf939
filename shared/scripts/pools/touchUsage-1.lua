--[[
  Records in the usage pool that a session uses a model now: in whole seconds of Redis' clock, formatted like Python's json.dumps, as
  open-webui does. The rest of the model's entry stays unchanged, byte for byte.

  KEYS[1] usage pool
  ARGV[1] model  ARGV[2] session as ASCII JSON  ARGV[3] channel for a new session

  Returns 'added' or 'refreshed'; without writing, 'malformed' if the entry is not a JSON object, 'wrong-type' if the pool is not
  a hash.
]]
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then return 'wrong-type' end
local text = redis.call('HGET', KEYS[1], ARGV[1])
local now = redis.call('TIME')[1]
local details = '{"updated_at": ' .. now .. '}'

local function replace(first, last, by)
  local new = string.sub(text, 1, first - 1) .. by .. string.sub(text, last + 1)
  if new ~= text then redis.call('HSET', KEYS[1], ARGV[1], new) end
end

local function added(new, sessions)
  redis.call('HSET', KEYS[1], ARGV[1], new)
  redis.call('PUBLISH', ARGV[3], '{"models": {' .. cjson.encode(ARGV[1]) .. ': ' .. sessions .. '}}')
  return 'added'
end

local function touchFlat(sessions)
  local first, last
  repeat
    local from, to = string.find(text, ARGV[2] .. ': {"updated_at": ', (last or 0) + 1, true)
    if from then first, last = from, to end -- of duplicate names, the last one counts
  until not from
  if not first then return added(string.sub(text, 1, -2) .. ', ' .. ARGV[2] .. ': ' .. details .. '}', sessions + 1) end
  replace(last + 1, string.find(text, '}', last, true) - 1, now)
  return 'refreshed'
end

local function touchAny(decoded)
  local members = membersOf(text)
  local sessions = 0
  for _ in pairs(decoded) do sessions = sessions + 1 end
  local member = memberNamed(members, cjson.decode('[' .. ARGV[2] .. ']')[1])
  if not member then
    local last = members[#members]
    if not last then return added('{' .. ARGV[2] .. ': ' .. details .. '}', 1) end
    return added(string.sub(text, 1, last.last) .. ', ' .. ARGV[2] .. ': ' .. details .. string.sub(text, last.last + 1), sessions + 1)
  end
  local old = string.sub(text, member.value, member.last)
  local updated = decodeObject(old) and memberNamed(membersOf(old), 'updated_at')
  if updated then
    replace(member.value + updated.value - 1, member.value + updated.last - 1, now)
  else
    replace(member.value, member.last, details)
  end
  return 'refreshed'
end

if not text then return added('{' .. ARGV[2] .. ': ' .. details .. '}', 1) end
local marks = not has(ARGV[2], '\\') and readFlat(text, FRESH)
if marks then return touchFlat(#marks + 1) end
local decoded = decodeObject(text)
if not decoded then return 'malformed' end
return touchAny(decoded)
