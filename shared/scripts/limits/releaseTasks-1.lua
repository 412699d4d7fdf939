--[[
  Frees what tasks hold, or their places in lines, and lets the next ones on. Safe to repeat.

  KEYS[1] tasks with limits  ARGV[1] start of the limiter's keys; see records.lua
  ARGV[2…] task id and run, in turn. With a run, only a record of that run is dropped: another worker may have started the task anew, or
           put it in line. With the nonce of an enqueue, only the record that it made is dropped, and only before a start. '' drops any
           record.

  Returns the admitted tasks, and whether keys with free places are left.
]]
allowFullMemory()

for i = 2, #ARGV, 2 do
  local id, run = ARGV[i], ARGV[i + 1]
  local record = load(id)
  local owner = record and record.nonce
  if record and record.state == 'running' then owner = record.run end
  if not record then
    redis.call('HDEL', TASKS, id)
  elseif run == '' or run == owner then
    drop(id, record)
  end
end
return { finish() }
