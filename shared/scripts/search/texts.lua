--[[
  Reads ids from an index of texts, whose members are a kind, a text, NUL and an id. Prepended to the scripts that need it.
]]
-- Returns up to `most` ids between two members, and the last member if more may follow, else ''.
local function readTexts(key, first, last, most)
  local members, ids = redis.call('ZRANGE', key, first, last, 'BYLEX', 'LIMIT', 0, most), {}
  for i, member in ipairs(members) do
    local separator = string.find(member, '\0', 1, true)
    ids[i] = separator and string.sub(member, separator + 1) or ''
  end
  return ids, #members == most and members[most] or ''
end

local function isBetween(score, after, before)
  local at = tonumber(score)
  return (after == '' or at > tonumber(after)) and (before == '' or at < tonumber(before))
end

