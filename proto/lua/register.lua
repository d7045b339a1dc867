#!lua
-- register: make an instance a responder and a member of groups on one topic or pattern, or refresh its lease.
-- @key members
-- @key groups
-- @key turn
-- @arg lease_ms integer
-- @arg instance string
-- @arg responder integer       1: it answers requests on this topic
-- @arg group string*           groups it is a member of
-- @return integer              end of the lease, ms since 1970 by the broker's clock
local members, groups, turn = KEYS[1], KEYS[2], KEYS[3]
local lease, instance = tonumber(ARGV[1]), ARGV[2]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local lease_end = string.format('%.0f', now + lease)
-- Long enough for every member's own lease, however it was set; an abandoned topic still vanishes.
local keep = math.max(4 * lease, 60000)
if ARGV[3] == '1' then
  redis.call('ZADD', members, lease_end, instance)
  redis.call('PEXPIRE', members, keep)
end
for at = 4, #ARGV do
  redis.call('ZADD', groups, lease_end, ARGV[at] .. '\0' .. instance)
end
redis.call('ZREMRANGEBYSCORE', groups, '-inf', string.format('%.0f', now))
redis.call('PEXPIRE', groups, keep)
redis.call('HSETNX', turn, '', 0)
redis.call('PEXPIRE', turn, keep)
return now + lease
