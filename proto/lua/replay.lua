#!lua
-- replay: store events again, each at the end of its key or in its lane, for one subscription group alone.
-- The group is appended to due_prefix, the key to stream_prefix, the priority to lane_prefix.
-- @key mail_groups
-- @key due_prefix
-- @key stream_prefix
-- @key lane_prefix
-- @key lanes
-- @key asleep
-- @channel wake
-- @arg group string
-- @arg event bytes*            three for each: key, priority, envelope
-- @return integer              how many were stored: as many as stand before one whose stream's name has something else;
-- -1: there is no such group
local group = ARGV[2]
if redis.call('HEXISTS', KEYS[1], group) == 0 then
  return -1
end
-- @include moment
-- @include store
due, streams, lane, lanes, asleep, wake = KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], ARGV[1]
bounded(KEYS[1], 0, 0)
local stored = 0
for at = 3, #ARGV, 3 do
  local key, priority = ARGV[at], ARGV[at + 1]
  if type(redis.pcall('XADD', stream_of(key, priority), '*', 'tl', ARGV[at + 2], 'group', group)) ~= 'string' then
    break
  end
  stored = stored + 1
  mark_ready(key, priority)
end
tell_groups()
return stored
