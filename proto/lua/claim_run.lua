#!lua
-- claim_run: hand a request with an idempotency key to a responder, unless its run is under way or done.
-- A claim lasts until the run's deadline. Whoever asks then takes it over, or before it who avoids the run's responder:
-- that one refused, or is lost.
-- @key run
-- @key members
-- @key turn
-- @channel request_prefix      requests for one responder; the instance is appended here
-- @arg token string            id of the request; who claimed may release
-- @arg fingerprint bytes       of the payload
-- @arg lease_ms integer        until the run's deadline
-- @arg window_ms integer       how long the result is to be kept
-- @arg most integer            how many calls may join
-- @arg caller bytes            who waits: 16 hexadecimal digits of its instance, 16 bytes of its call
-- @arg avoid string            instance not to choose, or empty
-- @arg frame bytes             a Frame with the request
-- @return string*              a verdict, and what belongs to it
-- Verdicts: "done" and the reply; "conflict"; "full"; "joined", the end of the claim (ms since 1970) and the run's
-- responder; "taken" and the instance; "nobody".
local run, members, turn = KEYS[1], KEYS[2], KEYS[3]
local channel, token, fingerprint = ARGV[1], ARGV[2], ARGV[3]
local lease, window, most = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local caller, avoid, frame = 'j' .. ARGV[7], ARGV[8], ARGV[9]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local known, reply, runner, ends = unpack(redis.call('HMGET', run, 'f', 'r', 'i', 'e'))
local alive = ends and tonumber(ends) > now
if known and known ~= fingerprint and (reply or alive) then
  return { 'conflict' }
end
if reply then
  return { 'done', reply }
end
if alive and runner ~= avoid then
  if redis.call('HLEN', run) >= most + 6 then
    return { 'full' }
  end
  redis.call('HSET', run, caller, '')
  return { 'joined', ends, runner }
end
local count = redis.call('ZCARD', members)
local first = 0
if count > 1 then
  first = redis.call('HINCRBY', turn, '', 1) % count
end
local live = redis.call('ZRANGE', members, 0, -1, 'WITHSCORES')
for step = 0, count - 1 do
  local at = (first + step) % count * 2 + 1
  local instance = live[at]
  if tonumber(live[at + 1]) <= now then
    redis.call('ZREM', members, instance)
  elseif instance ~= avoid then
    if redis.call('SPUBLISH', channel .. instance, frame) > 0 then
      if known and known ~= fingerprint then
        redis.call('DEL', run)
      end
      local ended = string.format('%.0f', now + lease)
      redis.call('HSET', run, 'f', fingerprint, 't', token, 'i', instance, 'e', ended, 'w', window, caller, '')
      redis.call('PEXPIRE', run, lease + 60000)
      return { 'taken', instance }
    end
    redis.call('ZREM', members, instance)
  end
end
return { 'nobody' }
