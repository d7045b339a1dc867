#!lua
-- hand: give an event to the next live member of one group, and to nobody else.
-- @key groups
-- @key turn
-- @channel group_prefix        a group's events for one member; "<instance>:<group>" is appended here
-- @arg group string
-- @arg frame bytes             a Frame with the event
-- @return integer              1, or 0: the group has no live member
local groups, turn = KEYS[1], KEYS[2]
local channel, group, frame = ARGV[1], ARGV[2], ARGV[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local members = {}
for _, member in ipairs(redis.call('ZRANGE', groups, '(' .. string.format('%.0f', now), '+inf', 'BYSCORE')) do
  local cut = string.find(member, '\0', 1, true)
  if string.sub(member, 1, cut - 1) == group then
    table.insert(members, string.sub(member, cut + 1))
  end
end
local first = #members > 0 and redis.call('HINCRBY', turn, group, 1) or 0
for step = 0, #members - 1 do
  local instance = members[(first + step) % #members + 1]
  if redis.call('SPUBLISH', channel .. instance .. ':' .. group, frame) > 0 then
    return 1
  end
  redis.call('ZREM', groups, group .. '\0' .. instance)
end
return 0
