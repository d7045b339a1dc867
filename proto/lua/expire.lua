#!lua
-- expire: delete what was stored too long ago of a topic, and is for none of its subscription groups.
-- It looks at a page of its keys at a time: run it until the cursor is "0". Streams that are empty then go.
-- Keys that have something no group was to get are listed at due_prefix itself. The key is appended to stream_prefix, the
-- priority to lane_prefix. Lanes are looked at with the first page.
-- @key mail_groups
-- @key due_prefix
-- @key stream_prefix
-- @key lane_prefix
-- @key lanes
-- @arg longest_ms integer
-- @arg cursor string           "0" at first, then as returned
-- @return string*              cursor, and how many events were deleted
local groups, due, streams, lane, lanes = unpack(KEYS)
local longest, cursor = tonumber(ARGV[1]), ARGV[2]
local clock = redis.call('TIME')
local least = clock[1] * 1000 + math.floor(clock[2] / 1000) - longest
for _, since in ipairs(redis.call('HVALS', groups)) do
  least = math.min(least, tonumber(since))
end
if least <= 0 then
  return { '0', '0' }
end
least = string.format('%.0f', least)
local deleted = 0

-- Whether nothing is left of a stream.
local function trim(stream)
  if redis.call('TYPE', stream).ok ~= 'stream' then
    return true
  end
  deleted = deleted + redis.call('XTRIM', stream, 'MINID', least)
  if redis.call('XLEN', stream) > 0 then
    return false
  end
  redis.call('UNLINK', stream)
  return true
end

if cursor == '0' then
  for _, priority in ipairs(redis.call('SMEMBERS', lanes)) do
    if trim(lane .. priority) then
      redis.call('SREM', lanes, priority)
    end
  end
end
local page = redis.call('ZSCAN', due, cursor, 'COUNT', 500)
for at = 1, #page[2], 2 do
  local key = page[2][at]
  if string.byte(key) == 0 or trim(streams .. key) then
    redis.call('ZREM', due, key)
  end
end
return { page[1], tostring(deleted) }
