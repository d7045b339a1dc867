#!lua
-- trail: keep the steps of something that failed; the oldest trails give way.
-- @key trails
-- @key trail_order
-- @arg correlation_id string
-- @arg steps bytes             a Trail; joined to what is there
-- @arg most integer            trails to keep
-- @arg most_bytes integer      of one trail
-- @return integer              trails kept now
local trails, order = KEYS[1], KEYS[2]
local id, steps, most, most_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local there = redis.call('HGET', trails, id) or ''
if #there + #steps <= most_bytes then
  redis.call('HSET', trails, id, there .. steps)
end
local clock = redis.call('TIME')
redis.call('ZADD', order, string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000)), id)
local kept = redis.call('ZCARD', order)
if kept > most then
  for at, old in ipairs(redis.call('ZPOPMIN', order, kept - most)) do
    if at % 2 == 1 then
      redis.call('HDEL', trails, old)
    end
  end
  kept = most
end
return kept
