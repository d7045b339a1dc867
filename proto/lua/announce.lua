#!lua
-- announce: list wildcard groups and observers, or refresh their entries; publishers hear of new ones at once.
-- An entry is "g NUL <pattern> NUL <group>" or "o NUL <pattern>".
-- @key patterns
-- @channel notice
-- @arg lease_ms integer
-- @arg entry string*
-- @return integer              how many entries are new
local patterns, notice = KEYS[1], ARGV[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local lease_end = string.format('%.0f', now + tonumber(ARGV[2]))
redis.call('ZREMRANGEBYSCORE', patterns, '-inf', string.format('%.0f', now))
local new = 0
for at = 3, #ARGV do
  if redis.call('ZADD', patterns, 'GT', lease_end, ARGV[at]) == 1 then
    new = new + 1
    redis.call('PUBLISH', notice, ARGV[at])
  end
end
return new
