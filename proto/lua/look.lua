#!lua
-- look: say which stored events are still there: every group has handled what is not.
-- The streams are named as the tape told them.
-- @key recording
-- @arg place string*           two for each: name of the stream, id of the entry
-- @return integer*             for each 1 if it is there, else 0
local there = {}
for at = 1, #ARGV, 2 do
  local found = redis.pcall('XRANGE', ARGV[at], ARGV[at + 1], ARGV[at + 1])
  table.insert(there, not found.err and #found > 0 and 1 or 0)
end
return there
