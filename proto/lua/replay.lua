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
local groups, due, streams, lane, lanes, asleep = unpack(KEYS)
local wake, group = ARGV[1], ARGV[2]
if redis.call('HEXISTS', groups, group) == 0 then
  return -1
end
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
local names, stored = redis.call('HKEYS', groups), 0
for at = 3, #ARGV, 3 do
  local key, priority = ARGV[at], ARGV[at + 1]
  local stream = key ~= '' and streams .. key or lane .. priority
  if type(redis.pcall('XADD', stream, '*', 'tl', ARGV[at + 2], 'group', group)) ~= 'string' then
    break
  end
  stored = stored + 1
  if key == '' then
    redis.call('SADD', lanes, priority)
  else
    for _, name in ipairs(names) do
      redis.call('ZADD', due .. name, 'NX', now, key)
    end
  end
end
for _, name in ipairs(names) do
  if redis.call('HDEL', asleep, name) == 1 then
    redis.call('SPUBLISH', wake, name)
  end
end
return stored
