#!lua
-- dismiss: remove a subscription group of a topic, and what waits for it; consumers hear of it by a wake-up.
-- What no group waits for any more stays stored until the topic has a group again, or its time is over.
-- The group is appended to due_prefix, held_prefix, tries_prefix, parked_prefix and passed_prefix, the priority to
-- lane_prefix.
-- @key mail_groups
-- @key due_prefix
-- @key held_prefix
-- @key tries_prefix
-- @key parked_prefix
-- @key passed_prefix
-- @key lane_prefix
-- @key lanes
-- @key asleep
-- @channel wake
-- @arg group string
-- @return integer              1, or 0: there was no such group
local groups, due, held, tries, parked, passed, lane, lanes, asleep = unpack(KEYS)
local wake, group = ARGV[1], ARGV[2]
if redis.call('HDEL', groups, group) == 0 then
  return 0
end
if redis.call('HLEN', groups) == 0 and redis.call('EXISTS', due .. group) == 1 then
  redis.call('RENAME', due .. group, due)
end
redis.call('UNLINK', due .. group, held .. group, tries .. group, parked .. group, passed .. group)
for _, priority in ipairs(redis.call('SMEMBERS', lanes)) do
  redis.pcall('XGROUP', 'DESTROY', lane .. priority, group)
end
redis.call('HDEL', asleep, group)
redis.call('SPUBLISH', wake, group)
return 1
