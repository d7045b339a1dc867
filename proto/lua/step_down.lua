#!lua
-- step_down: an instance that fires what is due leaves that to others.
-- @key agenda
-- @key role
-- @channel notice
-- @arg instance string
-- @return integer              1; 0: it was another one
if redis.call('GET', KEYS[2]) ~= ARGV[2] then
  return 0
end
redis.call('UNLINK', KEYS[2])
local first = redis.call('ZRANGE', KEYS[1], '0', '0', 'WITHSCORES')
if first[2] then
  redis.call('PUBLISH', ARGV[1], 's\0' .. string.format('%.0f', tonumber(first[2])) .. '\0')
end
return 1
