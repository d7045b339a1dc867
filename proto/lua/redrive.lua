#!lua
-- redrive: put dead letters back, each exactly once however many ask.
-- Each goes to the end of its key, or into its lane, for the group it failed in alone.
-- The group is appended to due_prefix, the key to stream_prefix, the priority to lane_prefix.
-- @key mail_groups
-- @key dead
-- @key due_prefix
-- @key stream_prefix
-- @key lane_prefix
-- @key lanes
-- @key asleep
-- @key recording
-- @key tape
-- @channel wake
-- @arg letter bytes*           five for each: its id, group, key, priority, and the envelope
-- @return string*              for each the id of its new entry; empty: there is no such letter, its group is gone, or
-- its stream's name has something else
local groups, dead, due, streams, lane, lanes, asleep = unpack(KEYS)
local wake, moved = ARGV[1], {}
-- @include tape
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
for at = 2, #ARGV, 5 do
  local group, key, priority = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local known = redis.call('HEXISTS', groups, group) == 1 and #redis.call('XRANGE', dead, ARGV[at], ARGV[at]) > 0
  local stream = key ~= '' and streams .. key or lane .. priority
  local entry = known and redis.pcall('XADD', stream, '*', 'tl', ARGV[at + 4], 'group', group)
  if type(entry) ~= 'string' then
    table.insert(moved, '')
  else
    redis.call('XDEL', dead, ARGV[at])
    note('again', ARGV[at + 4], 'stream', stream, 'entry', entry)
    table.insert(moved, entry)
    if key == '' then
      redis.call('SADD', lanes, priority)
    end
    local names = redis.call('HKEYS', groups)
    for _, name in ipairs(#names > 0 and names or { '' }) do
      if key ~= '' then
        redis.call('ZADD', due .. name, 'NX', now, key)
      end
      if redis.call('HDEL', asleep, name) == 1 then
        redis.call('SPUBLISH', wake, name)
      end
    end
  end
end
return moved
