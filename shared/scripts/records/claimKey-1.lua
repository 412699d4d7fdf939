--[[
  Claims an idempotency key for a request, or returns the answer to the request that used it before.

  KEYS[1] record of the key, a hash
  ARGV[1] hash of the request's body  ARGV[2] claimant
  ARGV[3] ms after which a claim without an answer may be taken over  ARGV[4] ms to remember the key

  Returns { 'claimed' }, { 'answered', answer }, { 'conflict' } for another body, or { 'busy' }.
]]
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local body, answer, untilMs = unpack(redis.call('HMGET', KEYS[1], 'body', 'answer', 'until'))
if body and body ~= ARGV[1] then return { 'conflict' } end
if answer then return { 'answered', answer } end
if untilMs and tonumber(untilMs) > ms then return { 'busy' } end
redis.call('HSET', KEYS[1], 'body', ARGV[1], 'owner', ARGV[2], 'until', string.format('%.0f', ms + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return { 'claimed' }
