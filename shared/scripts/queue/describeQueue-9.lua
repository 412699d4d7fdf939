--[[
  Describes one BullMQ queue: its size by place, whether it is paused, and the jobs that may have waited longest.

  KEYS[1] wait  KEYS[2] prioritized  KEYS[3] active  KEYS[4] delayed  KEYS[5] waiting-children  KEYS[6] completed  KEYS[7] failed
  KEYS[8] meta  KEYS[9] kept:limits
  ARGV[1] start of the queue's job keys
  ARGV[2] lowest score of a parked job
  ARGV[3] names of the index of cancelled jobs that are counted at most

  Returns { sizes, paused, concurrency, due, candidates, wrong }.
  sizes: wait, prioritized, active, delayed, parked (also among the delayed), waiting-children, completed, failed, cancelled (also among
  the failed). due: { id, name, score } of the first delayed job; empty for none. candidates: { id, name, timestamp, opts, processedOn } of
  the next waiting job and, among prioritized jobs, of the oldest with the highest and the lowest priority. wrong: keys of the wrong type, which
  count as empty.
]]
local wrong = {}
local noted = {}
local function ask(fallback, command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  if not string.find(answer.err, 'WRONGTYPE', 1, true) then error(answer.err) end
  if not noted[key] then
    noted[key] = true
    wrong[#wrong + 1] = key
  end
  return fallback
end

local cancelled = 0
local indexes = ask({}, 'HKEYS', KEYS[9])
for index = 1, math.min(#indexes, tonumber(ARGV[3])) do
  if string.sub(indexes[index], 1, 10) == 'cancelled:' then
    cancelled = cancelled + ask(0, 'ZCARD', ARGV[1] .. 'kept:' .. indexes[index])
  end
end

local sizes = {
  ask(0, 'LLEN', KEYS[1]),
  ask(0, 'ZCARD', KEYS[2]),
  ask(0, 'LLEN', KEYS[3]),
  ask(0, 'ZCARD', KEYS[4]),
  ask(0, 'ZCOUNT', KEYS[4], ARGV[2], '+inf'),
  ask(0, 'ZCARD', KEYS[5]),
  ask(0, 'ZCARD', KEYS[6]),
  ask(0, 'ZCARD', KEYS[7]),
  cancelled,
}

local candidates = {}
local function add(id)
  if not id then return end
  local fields = ask({ false, false, false, false }, 'HMGET', ARGV[1] .. id, 'name', 'timestamp', 'opts', 'processedOn')
  candidates[#candidates + 1] = { id, unpack(fields) }
end
add(ask(false, 'LINDEX', KEYS[1], -1))
add(ask({}, 'ZRANGE', KEYS[2], 0, 0)[1])
local last = ask({}, 'ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
if last[2] then
  -- BullMQ stores the priority above 32 bits of a sequence number.
  local lowest = math.floor(tonumber(last[2]) / 0x100000000) * 0x100000000
  add(ask({}, 'ZRANGEBYSCORE', KEYS[2], string.format('%.0f', lowest), '+inf', 'LIMIT', 0, 1)[1])
end

local meta = ask({ false, false }, 'HMGET', KEYS[8], 'paused', 'concurrency')
local first = ask({}, 'ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
local due = first[1] and { first[1], ask(false, 'HGET', ARGV[1] .. first[1], 'name'), first[2] } or {}
return { sizes, meta[1] and 1 or 0, meta[2], due, candidates, wrong }
