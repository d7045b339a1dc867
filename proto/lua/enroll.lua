#!lua
-- enroll: register a subscription group of a topic, so that events wait for it from now on; run until all is copied.
-- The group gets the keys that are alive from the list of keys that no group has, and from every group there is, a page
-- at a time. How far that has come is kept in `copying`: whoever registers the group again goes on with it.
-- A copied key has the score 0: `claim` begins with it anew, whatever a removed group of this name had of it.
-- A group that starts at the latest reads what is stored after it was registered.
-- A consumer that registers its group again, lest the server has lost it, does not bring back one that was removed.
-- Which service subscribed to the group last is kept in `services`, and another one is told of it; who repeats its
-- registration is told, and does not count as having subscribed, so that two that share a group do not take turns.
-- The group is appended to due_prefix, held_prefix and tries_prefix.
-- @key mail_groups
-- @key removed
-- @key copying
-- @key due_prefix
-- @key held_prefix
-- @key tries_prefix
-- @key services
-- @arg group string
-- @arg latest integer          1: without what is stored already
-- @arg again integer           1: it was registered before
-- @arg service string          of the subscriber, or empty
-- @return string*              1 if the group is new, or "removed"; 1 if there is more to copy; another service, or empty
local groups, removed, copying, due, held, tries, services = unpack(KEYS)
local group, latest, again, service = ARGV[1], ARGV[2] == '1', ARGV[3] == '1', ARGV[4]
local new = '0'
if redis.call('HEXISTS', groups, group) == 0 then
  if again and redis.call('HEXISTS', removed, group) == 1 then
    return { 'removed', '0', '' }
  end
  redis.call('HDEL', removed, group)
  local clock = redis.call('TIME')
  local since = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
  redis.call('HSET', groups, group, latest and since or '0')
  redis.call('HSET', copying, group, '0:')
  new = '1'
end
local other = ''
if service ~= '' then
  local last = redis.call('HGET', services, group)
  if last and last ~= service then
    other = last
  end
  if not last or not again then
    redis.call('HSET', services, group, service)
  end
end
local reached = redis.call('HGET', copying, group)
if not reached then
  return { new, '0', other }
end
local cursor, from = string.match(reached, '^(%d+):(.*)$')
local page = redis.call('ZSCAN', due .. from, cursor, 'COUNT', 1000)
local keys = {}
for at = 1, #page[2], 2 do
  if string.byte(page[2][at]) ~= 0 then
    table.insert(keys, page[2][at])
  end
end
for at = 1, #keys, 4000 do
  local some = { unpack(keys, at, math.min(#keys, at + 3999)) }
  local holders, failed = redis.call('HMGET', held .. group, unpack(some)), redis.call('HMGET', tries .. group, unpack(some))
  for n, key in ipairs(some) do
    if not holders[n] and not failed[n] then
      redis.call('ZADD', due .. group, '0', key)
    end
  end
end
cursor = page[1]
if cursor ~= '0' then
  redis.call('HSET', copying, group, cursor .. ':' .. from)
  return { new, '1', other }
elseif from == '' then
  redis.call('UNLINK', due)
end
local others = redis.call('HKEYS', groups)
table.sort(others)
for _, next in ipairs(others) do
  if next > from and next ~= group then
    redis.call('HSET', copying, group, '0:' .. next)
    return { new, '1', other }
  end
end
redis.call('HDEL', copying, group)
return { new, '0', other }
