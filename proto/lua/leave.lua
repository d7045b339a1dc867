#!lua
-- leave: an instance stops being a responder or a member of groups on one topic or pattern.
-- Whatever was dispatched to it before this ran is already on its way.
-- @key members
-- @key groups
-- @key turn
-- @arg instance string
-- @arg responder integer       1: it no longer answers requests on this topic
-- @arg group string*           groups it leaves
-- @return integer              how many memberships ended
local members, groups, turn = KEYS[1], KEYS[2], KEYS[3]
local ended = 0
if ARGV[2] == '1' then
  ended = ended + redis.call('ZREM', members, ARGV[1])
end
for at = 3, #ARGV do
  ended = ended + redis.call('ZREM', groups, ARGV[at] .. '\0' .. ARGV[1])
end
if redis.call('EXISTS', members, groups) == 0 then
  redis.call('DEL', turn)
end
return ended
