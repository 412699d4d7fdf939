--[[
  Cleans a batch of a pool: removes entries that are expired by Redis' clock. Removes nothing unless the caller holds the lock,
  which is renewed in the same step, so a caller that has lost the lock does no harm.

  A batch is measured in bytes, since an entry may have any size: HSCAN in small steps until there are enough. Work that takes
  longer than reading an entry in open-webui's format counts for more.
  Expired means, as in open-webui: now - time > timeout, in whole seconds. An entry of the shape
    usage    is `{ session: { "updated_at": seconds } }`: expired sessions are removed, and with the last one the entry;
    session  is `{ "last_seen_at": seconds, … }`, 0 if absent, and is removed as a whole.
  Invalid entries are left alone and counted. Both keys must be in one slot.

  KEYS[1] pool  KEYS[2] lock
  ARGV[1] owner of the lock  ARGV[2] its expiry in ms
  ARGV[3] cursor  ARGV[4] bytes in a batch
  ARGV[5] timeout in seconds  ARGV[6] shape  ARGV[7] channel for changes

  Returns 'lost'; or 'wrong-type' and the pool's type; or 'done', the next cursor, the numbers of entries read, entries removed,
  sessions removed, and invalid entries and sessions, and up to 5 names of invalid entries, cut.
]]
if redis.call('TYPE', KEYS[2]).ok ~= 'string' or redis.call('GET', KEYS[2]) ~= ARGV[1] then return { 'lost' } end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then return { 'wrong-type', kind } end

local STEP_BYTES, MOST_AT_ONCE = 4096, 16 -- per step: small entries are read several at a time
local STEP_COST, ENTRY_COST = 512, 256    -- overhead, in bytes
-- Cost relative to reading flat text: of cutting it; of reading any other text; of cutting that.
local CUT_FLAT, READ_ANY, CUT_ANY = 2, 2, 16
local MOST_NAMES = 5
local MOST_FIELDS = 1000  -- per HDEL: Lua's stack is limited

local now, timeout = tonumber(redis.call('TIME')[1]), tonumber(ARGV[5])
local cost, sessions, invalid, names, gone, rewritten, changes = 0, 0, 0, {}, {}, {}, {}

-- Nil if it is not a time: NaN and infinity would never expire.
local function isExpired(seconds)
  if type(seconds) ~= 'number' or seconds ~= seconds or seconds == math.huge or seconds == -math.huge then return nil end
  return now - seconds > timeout
end

local markOf = setmetatable({}, { __index = function(marks, seconds)
  marks[seconds] = isExpired(tonumber(seconds)) and EXPIRED or FRESH
  return marks[seconds]
end })

-- Removes members with their commas. The remaining members keep the text before them; the first takes the first one's place.
local function cut(text, members, isKept)
  local parts = { string.sub(text, 1, members[1].first - 1) }
  for i, member in ipairs(members) do
    if isKept[member.name] then
      local from = #parts == 1 and member.first or members[i - 1].last + 1
      parts[#parts + 1] = string.sub(text, from, member.last)
    end
  end
  parts[#parts + 1] = string.sub(text, members[#members].last + 1)
  return table.concat(parts)
end

-- Both ways to clean a usage entry return its new text, '' to remove it or nil to keep it; then the numbers of sessions removed,
-- left and invalid.
local function cleanAny(text)
  local details = decodeObject(text)
  if not details then return nil, 0, 0, 1 end
  local removed, left, wrong, isKept = 0, 0, 0, {}
  for name, session in pairs(details) do
    local expired = nil
    if type(session) == 'table' then expired = isExpired(session.updated_at) end
    if expired == nil then wrong = wrong + 1 end
    isKept[name] = not expired
    if expired then removed = removed + 1 else left = left + 1 end
  end
  if left == 0 then return '', removed, 0, wrong end
  return removed > 0 and cut(text, membersOf(text), isKept) or nil, removed, left, wrong
end

local function cleanFlat(text, marks)
  local _, removed = string.gsub(marks, EXPIRED, '')
  local left = #marks - removed
  if removed == 0 then return nil, 0, left, 0 end
  if left == 0 then return '', removed, 0, 0 end
  local seen, twice = {}, false
  local kept = string.gsub(text, '(%b""): {"updated_at": (%d+)},? ?', function(name, seconds)
    twice, seen[name] = twice or seen[name], true
    return markOf[seconds] == EXPIRED and '' or nil
  end)
  if twice then return cleanAny(text) end -- of duplicate names, the last one counts
  if string.sub(kept, -3) == ', }' then kept = string.sub(kept, 1, -4) .. '}' end
  return kept, removed, left, 0
end

local function cleanUsage(name, text)
  local marks, last = readFlat(text, markOf)
  local new, removed, left, wrong
  if marks then new, removed, left, wrong = cleanFlat(text, marks .. markOf[last]) else new, removed, left, wrong = cleanAny(text) end
  local factor = marks and (new and CUT_FLAT or 1) or (new and CUT_ANY or READ_ANY)
  cost = cost + (factor - 1) * #text
  if new == '' then gone[#gone + 1] = name elseif new then rewritten[name] = new end
  if new then changes[#changes + 1] = cjson.encode(name) .. ': ' .. left end
  sessions = sessions + removed
  return wrong
end

local function cleanSession(name, text)
  local session = decodeObject(text)
  if not session or next(session) == nil then return 1 end -- like open-webui, keep empty entries
  local seconds = session.last_seen_at
  local expired = isExpired(seconds == nil and 0 or seconds)
  if expired == nil then return 1 end
  if expired then
    gone[#gone + 1], changes[#changes + 1] = name, cjson.encode(name)
    sessions = sessions + 1
  end
  return 0
end

local clean = ARGV[6] == 'usage' and cleanUsage or cleanSession
local cursor, entries, bytes, step = ARGV[3], 0, 0, 1
repeat
  local page = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', step)
  cursor, cost = page[1], cost + STEP_COST
  for i = 1, #page[2], 2 do
    local name, text = page[2][i], page[2][i + 1]
    local fine, wrong = pcall(clean, name, text)
    if not fine then wrong = 1 end
    if wrong > 0 and #names < MOST_NAMES then names[#names + 1] = string.sub(name, 1, 256) end
    invalid, entries, bytes = invalid + wrong, entries + 1, bytes + #text + ENTRY_COST
  end
  step = math.max(1, math.min(MOST_AT_ONCE, math.floor(STEP_BYTES * entries / math.max(1, bytes))))
until cursor == '0' or cost + bytes >= tonumber(ARGV[4])

for name, text in pairs(rewritten) do redis.call('HSET', KEYS[1], name, text) end
for from = 1, #gone, MOST_FIELDS do
  redis.call('HDEL', KEYS[1], unpack(gone, from, math.min(from + MOST_FIELDS - 1, #gone)))
end
if #changes > 0 then
  local list = table.concat(changes, ', ')
  redis.call('PUBLISH', ARGV[7], ARGV[6] == 'usage' and '{"models": {' .. list .. '}}' or '{"gone": [' .. list .. ']}')
end
return { 'done', cursor, entries, #gone, sessions, invalid, unpack(names) }
