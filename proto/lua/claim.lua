#!lua flags=allow-oom
-- claim: lease what is ready for a subscription group, in order, and say when to look again.
-- A member of `due` is a key, or NUL priority NUL entry id for an event without key. Its score is when to look at it:
-- since when it is ready, when it is to be tried again, when its lease ends, or +inf while it is parked. A member that
-- is held and due was lost by its holder: that counts as a failed attempt, and it is read one entry at a time. If its
-- head failed before, it counts only if the holder had said that it begins (its token in `held` ends with "!"): otherwise
-- nothing ran, or the answer of this script was lost.
-- `tries` says how often the head of a member failed. A member that is listed there has entries that were given out
-- before: they are read first. A member that counts as lost more than once may be what ends its holders: of those one in
-- the group is leased at a time (its name is in `tries` under the empty name), so that the others are not lost with it.
-- A group that is not registered gets nothing. What a key has left that no group waits for is deleted, unless all of them
-- began later: that is kept for a later one, and the key is listed at due_prefix itself.
-- A key with the score 0, or any that was not given out yet while keys are copied to the group (`copying`), is looked at
-- for the first time since the group was registered: the consumer group is made anew.
-- A holder that is named is kept behind the token in `held`: only who settles in that name has the lease.
-- The group is appended to due_prefix and passed_prefix, the key to stream_prefix, the priority to lane_prefix. The consumer group in a key's stream has the name
-- <topic>:<key> for the group "default", else that of the group; it is made here, where the last one had come to.
-- @key mail_groups
-- @key copying
-- @key due_prefix
-- @key due
-- @key held
-- @key tries
-- @key passed_prefix
-- @key stream_prefix
-- @key lane_prefix
-- @key lanes
-- @key asleep
-- @key recording
-- @key tape
-- @arg topic string
-- @arg group string
-- @arg slots integer           members wanted, at most 250
-- @arg entries integer         of all, at most; shared equally by the keys
-- @arg bytes integer           of all, about
-- @arg lease_ms integer
-- @arg holder string           whose lease it is alone, as "|name"; empty: of whoever has the token
-- @return string*              token, when to look again (ms from now, 0: there is more; or empty), entries lost, members
-- A member is a list: its name, how often its head failed, and its entries as Redis tells them.
local groups, copying, all_due, due, held, tries, passed, streams, lane, lanes, asleep = unpack(KEYS)
local topic, group, slots, entries = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local bytes, lease, holder = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local last = tonumber(redis.call('HGET', held, '') or '0')
local token = string.format('%.0f', math.max(clock[1] * 1000000 + clock[2], last + 1))
local ends = string.format('%.0f', now + lease)
-- @include tape
local taken, leases, tokens, lost, waits = {}, {}, { '', token }, 0, 0
if redis.call('HEXISTS', groups, group) == 0 then
  return { token, '', '0', {} }
end

-- After which entry a group began; nothing if it gets all.
local function beginning(name)
  local since = tonumber(redis.call('HGET', groups, name) or '0')
  return since > 0 and string.format('%.0f-4294967295', since - 1) or nil -- its own millisecond is for it
end

local function start_of(key)
  return redis.call('HGET', passed .. group, key) or beginning(group) or '0'
end

local function read(stream, name, from, count, key)
  local found = redis.pcall('XREADGROUP', 'GROUP', name, 'tieline', 'COUNT', count, 'STREAMS', stream, from)
  if found and found.err then
    local made = redis.pcall('XGROUP', 'CREATE', stream, name, start_of(key))
    if made.err then
      return nil
    end
    found = redis.pcall('XREADGROUP', 'GROUP', name, 'tieline', 'COUNT', count, 'STREAMS', stream, '>')
  end
  if not found then
    return {}
  end
  return not found.err and found[1][2] or nil
end

local function size_of(entry)
  local size = 0
  for _, value in ipairs(entry[2] or {}) do
    size = size + #value
  end
  return size
end

-- A few at first, then as many as fit if they are like those: what is read is in memory, and given out.
local function read_fitting(stream, name, from, wanted, key)
  local list, size, some = {}, 0, 4
  while #list < wanted and some > 0 do
    local asked = math.min(wanted - #list, some)
    local more = read(stream, name, from, asked, key)
    if not more then
      return nil
    end
    for _, entry in ipairs(more) do
      size = size + size_of(entry)
      table.insert(list, entry)
    end
    if #more < asked then
      break
    end
    from = from == '>' and '>' or list[#list][1]
    some = math.floor((bytes - size) * #list / math.max(1, size))
  end
  return list
end

local function keep(member, attempts, list)
  for _, entry in ipairs(list) do
    bytes = bytes - size_of(entry)
  end
  table.insert(taken, { member, attempts, list })
  table.insert(leases, ends)
  table.insert(leases, member)
  table.insert(tokens, member)
  table.insert(tokens, token .. holder)
end

local function forget(member)
  redis.call('ZREM', due, member)
  redis.call('HDEL', tries, member)
  redis.call('HDEL', held, member)
end

-- Entries that were deleted while somebody had them are acknowledged, and counted.
local function existing(stream, name, list)
  local left = {}
  for _, entry in ipairs(list) do
    if entry[2] then
      table.insert(left, entry)
    else
      redis.call('XACK', stream, name, entry[1])
      lost = lost + 1
    end
  end
  return left
end

-- @include entries

-- A stream has nothing for this group: it has passed all of it, and what all groups have passed goes. What none of them
-- was to get is kept for another one.
local function pass_all(stream, name, key)
  local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  if newest and redis.call('XPENDING', stream, name)[1] == 0 then
    local names, all, own, wanted = redis.call('HKEYS', groups), newest[1], beginning(group), false
    if own and earlier(all, own) then
      all = own
    elseif #names > 1 then
      redis.call('HSET', passed .. group, key, all)
    end
    for _, other in ipairs(names) do
      local reached = other == group and all or redis.call('HGET', passed .. other, key) or beginning(other)
      if not reached then
        redis.call('ZADD', all_due .. other, 'NX', '0', key) -- lest it was not copied
        return
      elseif earlier(reached, all) then
        all = reached
      end
    end
    for _, other in ipairs(names) do
      local from = beginning(other)
      wanted = wanted or not from or earlier(from, all)
    end
    if not wanted then
      redis.call('ZADD', all_due, 'NX', '0', key)
      return
    end
    redis.call('XTRIM', stream, 'MINID', after(all))
  end
  if redis.call('XLEN', stream) == 0 then
    redis.call('UNLINK', stream)
    for _, other in ipairs(redis.call('HKEYS', groups)) do
      redis.call('HDEL', passed .. other, key)
    end
  end
end

-- Whether a member that was lost again may be leased now; if not, it is looked at a little later.
local suspect
local function alone(member)
  local other = suspect or redis.call('HGET', tries, '')
  local busy = suspect
  if not busy and other and other ~= member and redis.call('HEXISTS', held, other) == 1 then
    busy = tonumber(redis.call('ZSCORE', due, other) or '0') > now
  end
  if busy then
    redis.call('ZADD', due, 'XX', string.format('%.0f', now + 20), member)
    return false
  end
  suspect = member
  redis.call('HSET', tries, '', member)
  return true
end

-- What plain producers stored goes on the tape when it is given out for the first time.
local function note_plain(stream, key, list)
  for _, entry in ipairs((tape_most > 0 or tapped > 0) and list or {}) do
    local fields = entry[2]
    if fields and #fields < 4000 and not (fields[1] == 'tl' and (#fields == 2 or #fields == 4 and fields[3] == 'group')) then
      note('plain', topic, 'key', key, 'stream', stream, 'entry', entry[1], unpack(fields))
    end
  end
end

local function claim_key(key, attempts, share, anew)
  local stream, name = streams .. key, group == 'default' and topic .. ':' .. key or group
  if anew and not attempts then
    redis.pcall('XGROUP', 'DESTROY', stream, name)
  end
  local wanted = (not attempts or attempts == '0') and share or 1
  local list = {}
  if attempts then
    local before
    repeat
      before = read_fitting(stream, name, '0', wanted, key)
      list = before and existing(stream, name, before)
    until not before or #before == 0 or #list > 0
    if list and #list == 0 then
      redis.call('HDEL', tries, key)
      attempts = '0'
    end
  end
  if list and #list == 0 then
    list = read_fitting(stream, name, '>', wanted, key)
    note_plain(stream, key, list or {})
  end
  if not list or #list == 0 then
    if list then
      pass_all(stream, name, key)
    end
    forget(key)
    return
  end
  local size, fit = 0, 0
  for at, entry in ipairs(list) do
    size = size + size_of(entry)
    if at > 1 and size > bytes then
      break
    end
    fit = at
  end
  if fit < #list then
    list = { unpack(list, 1, fit) }
  end
  keep(key, attempts or '0', list)
end

local function claim_again(member, attempts)
  local priority, id = string.match(member, '^%z(%d+)%z(.+)$')
  local pending = redis.pcall('XPENDING', lane .. priority, group, id, id, 1)
  local list = pending[1] and redis.call('XRANGE', lane .. priority, id, id) or {}
  if #list == 0 then
    lost = lost + (pending[1] and redis.call('XACK', lane .. priority, group, id) or 0)
    forget(member)
  else
    keep(member, attempts or '0', list)
  end
end

-- One in sixteen claims begins with one event of the lowest priority.
local function claim_lanes(room)
  local priorities = redis.call('SMEMBERS', lanes)
  table.sort(priorities, function(a, b)
    return tonumber(a) > tonumber(b)
  end)
  local lowest_first = #priorities > 0 and tonumber(string.sub(token, -3)) % 16 == 0
  if lowest_first then
    table.insert(priorities, 1, priorities[#priorities])
  end
  local got = 0
  for at, priority in ipairs(priorities) do
    if got >= room or bytes <= 0 then
      return
    end
    local wanted = lowest_first and at == 1 and 1 or room - got
    local list = read_fitting(lane .. priority, group, '>', wanted, '') or {}
    for _, entry in ipairs(list) do
      keep('\0' .. priority .. '\0' .. entry[1], '0', { entry })
    end
    got = got + #list
  end
end

-- Half of the room is for new events without key, the rest for what is due, and what is left for more.
local room = math.floor((slots + tonumber(string.sub(token, -1)) % 2) / 2)
claim_lanes(room)
local parallel = #taken
local members, firsts, copied = {}, {}, redis.call('HEXISTS', copying, group) == 1
local nows = string.format('%.0f', now)
for at, told in ipairs(redis.call('ZRANGE', due, '-inf', nows, 'BYSCORE', 'LIMIT', 0, slots - parallel, 'WITHSCORES')) do
  if at % 2 == 1 then
    table.insert(members, told)
  else
    table.insert(firsts, copied or told == '0')
  end
end
if #members > 0 then
  local share = math.max(1, math.floor(entries / #members))
  local holders, failed = redis.call('HMGET', held, unpack(members)), redis.call('HMGET', tries, unpack(members))
  for at, member in ipairs(members) do
    if bytes <= 0 then
      break
    end
    local attempts = failed[at]
    local again = attempts and attempts ~= '0'
    local counts = holders[at] and (not again or string.sub(holders[at], -1) == '!')
    local may = not (counts and again) or alone(member)
    if may and counts then
      attempts = tostring(redis.call('HINCRBY', tries, member, 1))
    end
    if not may then
      waits = waits + 1
    elseif string.byte(member) == 0 then
      claim_again(member, attempts)
    else
      claim_key(member, attempts, share, firsts[at])
    end
  end
end
if parallel == room and #taken < slots and bytes > 0 then
  claim_lanes(slots - #taken)
end
if #leases > 0 then
  redis.call('ZADD', due, unpack(leases))
  redis.call('HSET', held, unpack(tokens))
end
if #taken + waits >= slots or bytes <= 0 then
  return { token, '0', tostring(lost), taken }
end
redis.call('HSET', asleep, group, '1')
local head = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
local again = head and tonumber(head) < math.huge and string.format('%.0f', math.max(1, tonumber(head) - now)) or ''
return { token, again, tostring(lost), taken }
