#!lua
-- dismiss: remove a subscription group of a topic, and what waits for it; its consumers end.
-- What no group waits for any more stays stored until the topic has a group again, or its time is over.
-- Of events without key, the only group that is left may have acknowledged some behind others that it has under way: up
-- to where they may be is noted in its `passed`, under NUL priority, until `settle` has deleted them.
-- The group is appended to due_prefix, held_prefix, tries_prefix, parked_prefix and passed_prefix, the priority to
-- lane_prefix.
-- @key mail_groups
-- @key removed
-- @key copying
-- @key due_prefix
-- @key held_prefix
-- @key tries_prefix
-- @key parked_prefix
-- @key passed_prefix
-- @key lane_prefix
-- @key lanes
-- @key asleep
-- @key services
-- @channel wake
-- @arg group string
-- @return integer              1, or 0: there was no such group
local groups, removed, copying, due, held, tries, parked, passed, lane, lanes, asleep, services = unpack(KEYS)
local wake, group = ARGV[1], ARGV[2]
if redis.call('HDEL', groups, group) == 0 then
  return 0
end
redis.call('HSET', removed, group, '1')
redis.call('PEXPIRE', removed, 3600000)
redis.call('HDEL', copying, group)
if redis.call('HLEN', groups) == 0 and redis.call('EXISTS', due .. group) == 1 then
  if redis.call('EXISTS', due) == 1 then
    redis.call('ZUNIONSTORE', due, 2, due, due .. group, 'AGGREGATE', 'MIN')
  else
    redis.call('RENAME', due .. group, due)
  end
end
redis.call('UNLINK', due .. group, held .. group, tries .. group, parked .. group, passed .. group)
local others = redis.call('HKEYS', groups)

-- @include entries

-- As in `settle`: what only this group waited for goes.
local function delete_passed(stream)
  local reached, least, left = {}, nil, nil
  local infos = redis.pcall('XINFO', 'GROUPS', stream)
  for _, info in ipairs(infos.err and {} or infos) do
    reached[info[2]] = info[6] == 0 and after(info[8]) or redis.call('XPENDING', stream, info[2])[2]
    left = left or info[6] > 0 and info[8]
  end
  for _, other in ipairs(others) do
    if not reached[other] then
      return
    elseif not least or earlier(reached[other], least) then
      least = reached[other]
    end
  end
  if least then
    redis.call('XTRIM', stream, 'MINID', least)
  end
  return left
end

for _, priority in ipairs(redis.call('SMEMBERS', lanes)) do
  redis.pcall('XGROUP', 'DESTROY', lane .. priority, group)
  local left = delete_passed(lane .. priority)
  if left and #others == 1 then
    redis.call('HSET', passed .. others[1], '\0' .. priority, left)
  end
end
redis.call('HDEL', asleep, group)
redis.call('HDEL', services, group)
redis.call('SPUBLISH', wake, group)
return 1
