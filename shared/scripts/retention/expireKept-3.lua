--[[
  Removes the tasks of one index that exceed its limits, and forgets the limits of an empty index.

  KEYS[1] the index  KEYS[2] completed or failed, which has its tasks  KEYS[3] the last limits of each index
  ARGV[1] start of the queue's job keys
  ARGV[2] kind and name of the index, the field of its limits
  ARGV[3] limits
  ARGV[4] most tasks to remove

  Returns { number of entries dropped; the tasks that could not be removed because a parent waits for them, each with the parent's
  key }.
]]
local dropped = prune(ARGV[1], KEYS[1], KEYS[2], ARGV[3], tonumber(ARGV[4]))
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HDEL', KEYS[3], ARGV[2]) end
return { dropped, attached }
