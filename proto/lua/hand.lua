#!lua
-- hand: give an event to the next live member of one group, and to nobody else.
-- @key groups
-- @key turn
-- @channel group_prefix        a group's events for one member; "<instance>:<group>" is appended here
-- @arg group string
-- @arg frame bytes             a Frame with the event
-- @return integer              1, or 0: the group has no live member
-- @include moment
-- @include share
return #share(KEYS[1], KEYS[2], ARGV[1], ARGV[3], nil, ARGV[2])
