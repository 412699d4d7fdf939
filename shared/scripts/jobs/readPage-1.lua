--[[
  Reads a page of a queue's list of jobs, and which jobs have a stop.

  KEYS[1] the list, or sorted set
  ARGV[1] start of the queue's job keys
  ARGV[2] first index  ARGV[3] last index

  Returns { ids, ids with a stop, unreadable }, the last as id, problem, id, problem …; and the type of the key if it is neither a
  list nor a sorted set.
]]
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'list' and kind ~= 'zset' and kind ~= 'none' then return { {}, {}, {}, kind } end

local ids = redis.call(kind == 'list' and 'LRANGE' or 'ZRANGE', KEYS[1], ARGV[2], ARGV[3])
local stopped, unreadable = {}, {}
local function note(id, problem)
  unreadable[#unreadable + 1] = id
  unreadable[#unreadable + 1] = problem
end

for _, id in ipairs(ids) do
  local job = ARGV[1] .. id
  local known = redis.pcall('HMGET', job, 'timestamp', 'stop')
  if known.err then
    note(id, 'expected a hash, found a ' .. redis.call('TYPE', job).ok)
  elseif not known[1] then
    note(id, 'it is listed, but has no job')
  elseif known[2] then
    stopped[#stopped + 1] = id
  end
end
return { ids, stopped, unreadable }
