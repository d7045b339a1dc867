#!lua
-- ready: plain producers wrote to the streams of keys; have every subscription group look at them.
-- The group is appended to due_prefix, the key to stream_prefix.
-- @key mail_groups
-- @key due_prefix
-- @key stream_prefix
-- @key asleep
-- @channel wake
-- @arg key string*
-- @return integer              how many keys were idle
local groups, due, streams, asleep, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local names = redis.call('HKEYS', groups)
if #names == 0 then
  names = { '' }
end
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
local ready, idle = {}, 0
for at = 2, #ARGV do
  if redis.call('TYPE', streams .. ARGV[at]).ok == 'stream' then
    table.insert(ready, now)
    table.insert(ready, ARGV[at])
  end
end
if #ready == 0 then
  return 0
end
for _, group in ipairs(names) do
  local new = 0
  for at = 1, #ready, 4000 do
    new = new + redis.call('ZADD', due .. group, 'NX', unpack(ready, at, math.min(#ready, at + 3999)))
  end
  idle = math.max(idle, new)
  if new > 0 and redis.call('HDEL', asleep, group) == 1 then
    redis.call('SPUBLISH', wake, group)
  end
end
return idle
