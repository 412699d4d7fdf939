--[[
  The records and keys of the limiter, shared by its scripts, all in the registry's slot. rate.lua and line.lua follow; scripts end with
  `finish`.

  KEYS[1] tasks with limits: id → record
  ARGV[1] start of the limiter's keys

  A record: `queue`, `name`, `priority`, `seq` (joining order), `state` (line, admitted, running), `steps` (its limits, in the order in which
  it acquires them: keyed places and turns, rates, places of the whole task), `step` (the next one), `line` (the key's id, if it waits),
  `turn` (order in which it got its keyed places), `at` (when its rate lets it start), `paid`, `since`, `deadline`.
]]
local START, TASKS = ARGV[1], KEYS[1]
local LINES, WAITING, DUE, DEADLINES = START .. 'lines', START .. 'waiting', START .. 'due', START .. 'deadlines'
local ADMITTED, PENDING = START .. 'admitted', START .. 'pending'
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000

-- Keys that may have a free place.
local freed = {}

local records, changed = {}, {}

local function isRecord(value)
  return type(value) == 'table' and type(value.steps) == 'table' and type(value.steps[1]) == 'table' and type(value.step) == 'number'
    and type(value.queue) == 'string' and type(value.seq) == 'number' and type(value.priority) == 'number' and type(value.name) == 'string'
end

-- False for none, and for one that cannot be read.
local function load(id)
  if records[id] == nil then
    local stored = redis.call('HGET', TASKS, id)
    local readable, record = false, nil
    if stored then readable, record = pcall(cjson.decode, stored) end
    records[id] = readable and isRecord(record) and record or false
  end
  return records[id]
end

local function change(id, record)
  records[id] = record
  changed[id] = true
end

local function placesOf(id) return START .. 'places:' .. id end
local function lineOf(id) return START .. 'line:' .. id end
local function whole(number) return string.format('%.0f', number) end
local function nextNumber() return redis.call('INCR', START .. 'seq') % 4294967296 end
local function scoreOf(record) return record.priority * 4294967296 + record.seq end

-- The line of a key is in the order of the enqueues. Rates and places of the whole task are taken by tasks that hold a place of their key,
-- in the order in which they got it: in the order of the enqueues, the key with the oldest tasks would come first each time.
local function scoreIn(record, step)
  if step.keyed and step.kind ~= 'rate' then return scoreOf(record) end
  record.turn = record.turn or nextNumber()
  return record.priority * 4294967296 + record.turn
end
