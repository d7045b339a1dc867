#!lua
-- append: store events of one topic, each in the stream of its key or in the lane of its priority, and wake consumers.
-- A key that was idle becomes ready in every subscription group. While a topic has no group, keys are listed under the
-- group with the empty name, and a stream holds so many events at most.
-- A producer numbers what it sends, one up for each run of this script, and sends again, under the same number and in the
-- same order, what it had no answer to: what is stored already is not stored twice, and what found no room is told again.
-- `number` holds the last number under the empty name, and, under a run's number, an "x" for each event without room and a
-- "!" for each whose stream's name something has that is no stream.
-- The group is appended to due_prefix, the key to stream_prefix, the priority to lane_prefix, the id to known_prefix.
-- @key mail_groups
-- @key due_prefix
-- @key stream_prefix
-- @key lane_prefix
-- @key lanes
-- @key asleep
-- @key known_prefix
-- @key number
-- @key recording
-- @key tape
-- @channel wake
-- @arg most integer            events a stream may hold; 0 for no bound
-- @arg most_alone integer      the same while the topic has no group
-- @arg together integer        1: all or none
-- @arg number integer          of this run; 0: it is not sent again
-- @arg event bytes*            five for each: key, priority, id to recognise it by or empty, how long (ms), envelope
-- @return string*              for each its entry id; "=" and its entry id, if that can be told, if it was known; empty: no room; "!": no stream
local known, number, together, numbered = KEYS[7], KEYS[8], ARGV[4] == '1', ARGV[5] ~= '0'
if numbered and tonumber(redis.call('HGET', number, '') or '0') >= tonumber(ARGV[5]) then
  local known_all, refused = {}, redis.call('HGET', number, ARGV[5]) or ''
  for n = 1, (#ARGV - 5) / 5 do
    local mark = string.sub(refused, n, n)
    known_all[n] = mark == 'x' and '' or mark == '!' and mark or '='
  end
  return known_all
end
if numbered then
  if redis.call('HLEN', number) > 1000 then
    redis.call('UNLINK', number)
  end
  redis.call('HSET', number, '', ARGV[5])
  redis.call('PEXPIRE', number, 900000)
end
-- @include tape
-- @include moment
-- @include store
due, streams, lane, lanes, asleep, wake = KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], ARGV[1]
bounded(KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3]))
local stored, refused = {}, false

-- Why not all of what is to be stored together can be; nothing if it can.
local function hindrance()
  local count = {}
  for at = 6, #ARGV, 5 do
    local stream = stream_of(ARGV[at], ARGV[at + 1])
    if not count[stream] then
      local length = redis.pcall('XLEN', stream)
      if type(length) ~= 'number' then
        return '!'
      end
      count[stream] = length
    end
    count[stream] = count[stream] + 1
    if most > 0 and count[stream] > most then
      return ''
    end
  end
end

local why = together and hindrance()
for at = 6, #ARGV, 5 do
  local key, priority, id = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local before = not why and id ~= '' and redis.call('GET', known .. id)
  local entry = why or before and '=' .. before or add(key, priority, ARGV[at + 4])
  table.insert(stored, entry)
  if entry == '' or entry == '!' then
    refused = true
  elseif not before then
    note('stored', ARGV[at + 4], 'stream', stream_of(key, priority), 'entry', entry)
    mark_ready(key, priority)
    if id ~= '' then
      redis.call('SET', known .. id, entry, 'PX', ARGV[at + 3])
    end
  end
end
if refused and numbered then
  local marks = {}
  for n, told in ipairs(stored) do
    marks[n] = told == '' and 'x' or told == '!' and told or '.'
  end
  redis.call('HSET', number, ARGV[5], table.concat(marks))
end
tell_groups()
return stored
