--[[
  Counts the live tasks of items between two of the index of items. If our tasks of an item cannot be read, the shared ones count.

  KEYS[1] items of live tasks
  ARGV[1] start of the keys of our items  ARGV[2] start of the keys of shared items  ARGV[3] first and ARGV[4] last item
  ARGV[5] most items  ARGV[6] enough tasks

  Returns { number of tasks, last item if more may follow and the tasks are not enough, else '' }.
]]
local most, enough = tonumber(ARGV[5]), tonumber(ARGV[6])
local items = redis.call('ZRANGE', KEYS[1], ARGV[3], ARGV[4], 'BYLEX', 'LIMIT', 0, most)
local count = 0
for _, item in ipairs(items) do
  local size = redis.pcall('SCARD', ARGV[1] .. item)
  if type(size) ~= 'number' then size = redis.pcall('SCARD', ARGV[2] .. item) end
  if type(size) == 'number' then count = count + size end
  if count > enough then return { count, '' } end
end
return { count, #items == most and items[most] or '' }
