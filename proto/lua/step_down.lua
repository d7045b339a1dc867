#!lua
-- step_down: an instance that fires what is due leaves that to others.
-- @key agenda
-- @key role
-- @key ticks
-- @channel notice
-- @arg instance string
-- @return integer              1; 0: it was another one
-- @include first
if redis.call('GET', KEYS[2]) ~= ARGV[2] then
  return 0
end
redis.call('UNLINK', KEYS[2])
local first = first_of(KEYS[1], KEYS[3])
if first then
  redis.call('PUBLISH', ARGV[1], 's\0' .. string.format('%.0f', first) .. '\0')
end
return 1
