--[[
  Reads and changes an entry of the usage pool, `{ session id: { "updated_at": seconds } }`, as text, so that the rest stays
  unchanged, byte for byte: cjson would write {} for [], lose digits and change the order.

  Prepended to the scripts that need it. There are two ways: a fast one for entries in the format of Python's json.dumps without
  escapes or other fields, which nearly all are; and one for any other JSON, which cjson has validated.
]]
local FRESH, EXPIRED = '\1', '\2'

local function has(text, plain)
  return string.find(text, plain, 1, true) ~= nil
end

-- The fast way. Returns a mark for each session but the last, and the seconds of the last; nil if the entry needs the other way.
-- `markOf` maps seconds to marks. A single gsub takes half the time of cjson.decode.
local function readFlat(text, markOf)
  if has(text, '\\') or has(text, FRESH) or has(text, EXPIRED) then return nil end
  local rest = string.gsub(text, '%b"": {"updated_at": ([1-9]%d*)}, ', markOf)
  return string.match(rest, '^{([\1\2]*)%b"": {"updated_at": ([1-9]%d*)}}$')
end

-- Decodes a JSON object; nil for anything else, arrays included.
local function decodeObject(text)
  local valid, value = pcall(cjson.decode, text)
  if valid and type(value) == 'table' and string.find(text, '^%s*{') then return value end
  return nil
end

-- The position after the string that begins here.
local function afterString(text, at)
  while true do
    at = string.find(text, '["\\]', at + 1)
    if string.byte(text, at) == 34 then return at + 1 end
    at = at + 1 -- the escaped character, perhaps a quote
  end
end

-- The position after the value of any kind that begins here.
local function afterValue(text, at)
  local depth = 0
  repeat
    local char = string.sub(text, at, at)
    if char == '"' then
      at = afterString(text, at)
    elseif char == '{' or char == '[' then
      depth, at = depth + 1, at + 1
    elseif char == '}' or char == ']' then
      depth, at = depth - 1, at + 1
    else
      return string.find(text, '[%s,}%]]', at) -- a number or a word; there are none between brackets, see below
    end
    if depth > 0 then at = string.find(text, '["{}%[%]]', at) end
  until depth == 0
  return at
end

-- The members of a valid JSON object: each one's name, start and end, and the start of its value.
local function membersOf(text)
  local members = {}
  local at = string.find(text, '[^%s,]', string.find(text, '{', 1, true) + 1)
  while string.byte(text, at) == 34 do
    local afterName = afterString(text, at)
    local name = string.sub(text, at + 1, afterName - 2)
    if has(name, '\\') then name = cjson.decode('["' .. name .. '"]')[1] end
    local value = string.find(text, '[^%s:]', afterName)
    local after = afterValue(text, value)
    members[#members + 1] = { name = name, first = at, value = value, last = after - 1 }
    at = string.find(text, '[^%s,]', after)
  end
  return members
end

-- Of duplicate names, the last member counts.
local function memberNamed(members, name)
  for i = #members, 1, -1 do
    if members[i].name == name then return members[i] end
  end
  return nil
end
