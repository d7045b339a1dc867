#!lua
-- measure: what waits for a subscription group, a page of its keys at a time; run until the cursor is "0".
-- The key is appended to stream_prefix, the priority to lane_prefix. Lanes are counted with the first page.
-- @key mail_groups
-- @key due
-- @key stream_prefix
-- @key lane_prefix
-- @key lanes
-- @key passed
-- @arg topic string
-- @arg group string
-- @arg cursor string           "0" at first, then as returned
-- @return string*              cursor, keys, events that wait or are under way, events under way, ms of the oldest or empty
local groups, due, streams, lane, lanes, passed = unpack(KEYS)
local topic, group, cursor = ARGV[1], ARGV[2], ARGV[3]
local since = redis.call('HGET', groups, group) or '0'
local alone = since == '0' and redis.call('HLEN', groups) < 2
local keys, waiting, pending, oldest = 0, 0, 0, nil

local function info_of(stream, name)
  local infos = redis.pcall('XINFO', 'GROUPS', stream)
  for _, info in ipairs(infos.err and {} or infos) do
    if info[2] == name then
      return info
    end
  end
end

local function count(stream, name, member)
  local info = info_of(stream, name)
  local first
  if not info then
    waiting = waiting + (since == '0' and redis.call('XLEN', stream) or #redis.call('XRANGE', stream, since, '+'))
    first = redis.call('XRANGE', stream, since, '+', 'COUNT', 1)[1]
  else
    pending = pending + info[6]
    local all_wait = alone and redis.call('HEXISTS', passed, member) == 0
    local behind = all_wait and redis.call('XLEN', stream) - info[6] or info[12]
    behind = behind or #redis.call('XRANGE', stream, '(' .. info[8], '+')
    waiting = waiting + info[6] + math.max(0, behind)
    if info[6] > 0 then
      first = { redis.call('XPENDING', stream, name)[2] }
    elseif behind > 0 then
      first = redis.call('XRANGE', stream, '(' .. info[8], '+', 'COUNT', 1)[1]
    end
  end
  if first then
    local ms = tonumber(string.match(first[1], '^%d+'))
    oldest = oldest and math.min(oldest, ms) or ms
  end
end

if cursor == '0' then
  for _, priority in ipairs(redis.call('SMEMBERS', lanes)) do
    count(lane .. priority, group, '\0' .. priority)
  end
end
local page = redis.call('ZSCAN', due, cursor, 'COUNT', 200)
for at = 1, #page[2], 2 do
  local key = page[2][at]
  if string.byte(key) ~= 0 and redis.call('TYPE', streams .. key).ok == 'stream' then
    keys = keys + 1
    count(streams .. key, group == 'default' and topic .. ':' .. key or group, key)
  end
end
return { page[1], tostring(keys), tostring(waiting), tostring(pending), oldest and string.format('%.0f', oldest) or '' }
