#!lua
-- ready: there are streams of keys; have every subscription group look at them. Plain producers wrote to them, or a look
-- through the keys found them: after a group was removed, what only that one waited for is deleted.
-- The group is appended to due_prefix and passed_prefix, the key to stream_prefix.
-- @key mail_groups
-- @key removed
-- @key due_prefix
-- @key passed_prefix
-- @key stream_prefix
-- @key asleep
-- @channel wake
-- @arg key string*
-- @return integer              how many keys were idle
local groups, removed, due, passed, streams, asleep, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], ARGV[1]
local names, since = {}, {}
for at, told in ipairs(redis.call('HGETALL', groups)) do
  if at % 2 == 1 then
    table.insert(names, told)
  elseif told ~= '0' then -- its own millisecond is for it
    since[names[#names]] = string.format('%.0f-4294967295', tonumber(told) - 1)
  end
end
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
local trims = #names > 0 and redis.call('EXISTS', removed) == 1
local ready, idle = {}, 0

-- @include entries

-- What none of the groups was to get is kept for another one.
local function delete_passed(key)
  local least, wanted
  for _, name in ipairs(names) do
    local reached = redis.call('HGET', passed .. name, key) or since[name]
    if not reached then
      return
    elseif not least or earlier(reached, least) then
      least = reached
    end
  end
  for _, name in ipairs(names) do
    wanted = wanted or not since[name] or earlier(since[name], least)
  end
  if wanted then
    redis.call('XTRIM', streams .. key, 'MINID', after(least))
  end
end

for at = 2, #ARGV do
  if redis.call('TYPE', streams .. ARGV[at]).ok == 'stream' then
    table.insert(ready, now)
    table.insert(ready, ARGV[at])
    if trims then
      delete_passed(ARGV[at])
    end
  end
end
if #ready == 0 then
  return 0
end
for _, group in ipairs(#names > 0 and names or { '' }) do
  local new = 0
  for at = 1, #ready, 4000 do
    new = new + redis.call('ZADD', due .. group, 'NX', unpack(ready, at, math.min(#ready, at + 3999)))
  end
  idle = math.max(idle, new)
  if new > 0 and redis.call('HDEL', asleep, group) == 1 then
    redis.call('SPUBLISH', wake, group)
  end
end
return idle
