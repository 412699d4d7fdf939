--[[
  Finds the place of a job. Prepended to the scripts that need it, which set `lists` to the keys of the queue's lists.

  ARGV[1] start of the queue's job keys
]]
local lists = {}

-- Up to this many ids, searching a list for each is cheaper than reading it.
local FEW = 8
local areFew = false

-- The queue's first key of the wrong type.
local broken = nil
local function ask(command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  if not string.find(answer.err, 'WRONGTYPE', 1, true) then error(answer.err) end
  broken = broken or key
  return false
end

local running = nil
local function isActive(id)
  if areFew then return ask('LPOS', lists.active, id) ~= false end
  if not running then
    running = {}
    for _, active in ipairs(ask('LRANGE', lists.active, 0, -1) or {}) do running[active] = true end
  end
  return running[id] == true
end

-- Searches every list but the wait list. Also returns the score of a delayed job: its due time × 4096, plus a number.
local function placeOf(id)
  if ask('ZSCORE', lists.completed, id) then return 'completed' end
  if ask('ZSCORE', lists.failed, id) then return 'failed' end
  local score = ask('ZSCORE', lists.delayed, id)
  if score then return 'delayed', score end
  if ask('ZSCORE', lists.prioritized, id) then return 'prioritized' end
  if ask('ZSCORE', lists.waiting, id) then return 'waiting-children' end
  if isActive(id) then return 'active' end
  return nil
end

-- The final state of a job that is nowhere else. BullMQ removes the end time when it requeues a job; for a few jobs the wait list is
-- searched anyway, because another program may have written the end time.
local searches = 0
local function endOf(id, finishedOn)
  if (tonumber(finishedOn or '') or 0) <= 0 then return nil end
  searches = searches + 1
  if searches <= FEW and ask('LPOS', lists.wait, id) then return nil end
  return redis.call('HEXISTS', ARGV[1] .. id, 'returnvalue') == 1 and 'completed' or 'failed'
end

