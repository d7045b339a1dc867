#!lua flags=allow-oom
-- give_up: the handling of an event failed; anybody may begin with it at once.
-- @key handling
-- @arg owner string            as it began
-- @return integer              1, or 0: it is not the owner's any more
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('UNLINK', KEYS[1])
