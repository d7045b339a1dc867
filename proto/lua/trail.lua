#!lua
-- trail: keep the steps of something that failed; the oldest steps of its trail give way, and the oldest trails.
-- @key trails
-- @key trail_order
-- @arg correlation_id string
-- @arg steps bytes             a Trail; joined to what is there
-- @arg most integer            trails to keep
-- @arg most_bytes integer      of one trail
-- @return integer              trails kept now
local trails, order = KEYS[1], KEYS[2]
local id, steps, most, most_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
-- Where the step that begins here ends (a Trail is its steps, each after its tag and its length); nil if none begins here.
local function end_of(trail, at)
  local length, scale = 0, 1
  for place = at + 1, trail:byte(at) == 10 and at + 4 or 0 do
    local byte = trail:byte(place)
    if not byte then
      return nil
    end
    length, scale = length + byte % 128 * scale, scale * 128
    if byte < 128 then
      return place + length
    end
  end
  return nil
end
local there = redis.call('HGET', trails, id) or ''
local whole, gone = there .. steps, 0
while #whole - gone > most_bytes do
  local bound = gone < #there and #there or #whole
  local past = end_of(whole, gone + 1)
  gone = past and past <= bound and past or bound
end
redis.call('HSET', trails, id, whole:sub(gone + 1))
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
