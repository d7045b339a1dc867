#!lua
-- unpark: let a parked key go on: its head is tried again, or becomes a dead letter.
-- The group is appended to passed_prefix, the key to stream_prefix.
-- @key mail_groups
-- @key due
-- @key tries
-- @key parked
-- @key dead
-- @key passed_prefix
-- @key stream_prefix
-- @key asleep
-- @key recording
-- @key tape
-- @channel wake
-- @arg topic string
-- @arg group string
-- @arg key string
-- @arg skip integer            1: its head becomes a dead letter
-- @return integer              1, or 0: the key is not parked
local groups, due, tries, parked, dead, passed, streams, asleep = unpack(KEYS)
local wake, topic, group, key = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local record = redis.call('HGET', parked, key)
if not record then
  return 0
end
-- @include tape
redis.call('HDEL', parked, key)
if ARGV[5] ~= '1' then
  note('unparked', record)
end
redis.call('HSET', tries, key, '0')

-- @include entries

-- As in `settle`: what every group has passed is deleted.
local function pass(stream, id)
  redis.call('HSET', passed .. group, key, id)
  local all = id
  for _, other in ipairs(redis.call('HKEYS', groups)) do
    local since = redis.call('HGET', groups, other)
    local reached = redis.call('HGET', passed .. other, key)
    if not reached and since == '0' then
      return
    end
    reached = reached or string.format('%.0f-4294967295', tonumber(since) - 1)
    if earlier(reached, all) then
      all = reached
    end
  end
  redis.call('XTRIM', stream, 'MINID', after(all))
end

if ARGV[5] == '1' then
  local stream, name = streams .. key, group == 'default' and topic .. ':' .. key or group
  redis.call('XADD', dead, '*', 'tl', record)
  local found = redis.pcall('XPENDING', stream, name, '-', '+', 1)
  if found.err then -- its consumer group is gone: the head is what comes next
    local reached = redis.call('HGET', passed .. group, key)
    local from = reached and '(' .. reached or redis.call('HGET', groups, group) or '-'
    found = redis.pcall('XRANGE', stream, from, '+', 'COUNT', 1)
  end
  if found[1] then
    local id = found[1][1]
    redis.pcall('XACK', stream, name, id)
    if redis.call('HLEN', groups) < 2 then
      redis.call('XTRIM', stream, 'MINID', after(id))
    else
      pass(stream, id)
    end
  end
end
local clock = redis.call('TIME')
redis.call('ZADD', due, 'XX', string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000)), key)
if redis.call('HDEL', asleep, group) == 1 then
  redis.call('SPUBLISH', wake, group)
end
return 1
