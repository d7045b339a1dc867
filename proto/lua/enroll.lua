#!lua
-- enroll: register a subscription group of a topic, so that events wait for it from now on; run until the cursor is "0".
-- The group gets the keys that are alive from every group there is, or, if it is the first, from the list of keys that
-- no group had. A group that starts at the latest reads what is stored after it was registered.
-- A consumer that registers its group again, lest the server has lost it, does not bring back one that was removed.
-- A group that was removed may have had something under way of a key: its keys are in `tries`, so that it comes first.
-- The group is appended to due_prefix and tries_prefix.
-- @key mail_groups
-- @key removed
-- @key due_prefix
-- @key tries_prefix
-- @arg group string
-- @arg latest integer          1: without what is stored already
-- @arg again integer           1: it was registered before
-- @arg from string             the group whose keys are copied now, empty at first
-- @arg cursor string           "0" at first, then as returned
-- @return string*              1 if the group is new, or "removed"; the group whose keys are copied next, and the cursor
local groups, removed, due, tries = unpack(KEYS)
local group, latest, again, from, cursor = ARGV[1], ARGV[2] == '1', ARGV[3] == '1', ARGV[4], ARGV[5]
local new = 0
if from == '' and cursor == '0' then
  if redis.call('HEXISTS', groups, group) == 1 then
    return { '0', '', '0' }
  elseif again and redis.call('HEXISTS', removed, group) == 1 then
    return { 'removed', '', '0' }
  end
  redis.call('HDEL', removed, group)
  local clock = redis.call('TIME')
  local since = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
  local others = redis.call('HKEYS', groups)
  table.sort(others)
  from = others[1] or ''
  redis.call('HSET', groups, group, latest and since or '0')
  new = 1
end
local page = redis.call('ZSCAN', due .. from, cursor, 'COUNT', 1000)
local keys = {}
for at = 1, #page[2], 2 do
  if string.byte(page[2][at]) ~= 0 then
    table.insert(keys, '0')
    table.insert(keys, page[2][at])
    redis.call('HSETNX', tries .. group, page[2][at], '0')
  end
end
for at = 1, #keys, 4000 do
  redis.call('ZADD', due .. group, 'NX', unpack(keys, at, math.min(#keys, at + 3999)))
end
cursor = page[1]
if cursor == '0' then
  if from == '' then
    redis.call('UNLINK', due)
  else
    local others = redis.call('HKEYS', groups)
    table.sort(others)
    for _, other in ipairs(others) do
      if other > from and other ~= group then
        return { tostring(new), other, '0' }
      end
    end
  end
  return { tostring(new), '', '0' }
end
return { tostring(new), from, cursor }
