--[[
  Removes tasks from their items, and an item without tasks of ours from the index of items, atomically: a registration adds its task to the
  item before it adds the item to the index. The script builds the keys of items, so all keys of the registry must be in one slot.
  Keys of a wrong type have no task to remove.

  KEYS[1] items of live tasks  KEYS[2] texts of live tasks, which have an entry for each task of an older version
  ARGV[1] start of the keys of our items  ARGV[2] start of the keys of shared items
  ARGV[3…] item, number of its ids, ids…, item …

  Returns 1.
]]
local function isRefused(reply)
  return type(reply) == 'table' and not string.find(reply.err, 'WRONGTYPE', 1, true)
end

local older = redis.pcall('ZLEXCOUNT', KEYS[2], '[i', '(j')
local at = 3
while at < #ARGV do
  local item, first = ARGV[at], at + 2
  local last = first + tonumber(ARGV[at + 1]) - 1
  local own = ARGV[1] .. item
  local left = redis.pcall('SREM', own, unpack(ARGV, first, last))
  if isRefused(left) then return left end
  redis.pcall('SREM', ARGV[2] .. item, unpack(ARGV, first, last))
  if older ~= 0 then
    local texts = {}
    for i = first, last do texts[#texts + 1] = 'i' .. item .. '\0' .. ARGV[i] end
    redis.pcall('ZREM', KEYS[2], unpack(texts))
  end
  if redis.call('EXISTS', own) == 0 then redis.pcall('ZREM', KEYS[1], item) end
  at = last + 1
end
return 1
