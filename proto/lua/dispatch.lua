#!lua
-- dispatch: hand a request to the next live responder of its topic.
-- Members whose lease ended, and members whose process no longer listens, are removed on the way.
-- @key members
-- @key turn
-- @channel request_prefix      requests for one responder; the instance is appended here
-- @arg avoid string            instance not to choose, or empty
-- @arg envelope bytes
-- @return string               the instance that took it, or nil: nobody did
local members, turn = KEYS[1], KEYS[2]
local channel, avoid, envelope = ARGV[1], ARGV[2], ARGV[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local count = redis.call('ZCARD', members)
local tries = 2 * count
while count > 0 and tries > 0 do
  tries = tries - 1
  local at = 0
  if count > 1 then
    at = redis.call('HINCRBY', turn, '', 1) % count
  end
  local pick = redis.call('ZRANGE', members, at, at, 'WITHSCORES')
  local instance, lease_end = pick[1], tonumber(pick[2])
  if lease_end > now and instance == avoid then
    -- its turn is passed over
  elseif lease_end > now and redis.call('SPUBLISH', channel .. instance, envelope) > 0 then
    return instance
  else
    redis.call('ZREM', members, instance)
    count = count - 1
  end
end
return false
