#!lua flags=allow-oom
-- settle: end leases, or parts of them: what was handled is acknowledged, and what is to become of the rest is said.
-- Verdicts: "done": all that was claimed is handled; "keep": the holder goes on, its lease begins anew; "begin": as
-- "keep", and the holder begins with a head that failed before: if it is lost from here on, that is a failure, too; "free":
-- what was not handled is ready again, and nothing failed; "retry": the head failed and is tried again after so many ms;
-- "park": the head failed for the last time, and its key stops: the argument is a DeadLetter; "dead": as "keep", and the
-- last of the acknowledged entries failed for the last time: the argument, a DeadLetter, is kept in its place, once.
-- What comes before an acknowledged entry of a key was handled, too; what said so may still be on its way.
-- A member is named as `claim` names it. Whoever has lost the lease changes nothing.
-- The group is appended to due_prefix and passed_prefix, the key to stream_prefix, the priority to lane_prefix.
-- @key mail_groups
-- @key copying
-- @key due_prefix
-- @key due
-- @key held
-- @key tries
-- @key parked
-- @key dead
-- @key passed_prefix
-- @key stream_prefix
-- @key lane_prefix
-- @key asleep
-- @key recording
-- @key tape
-- @channel wake
-- @arg topic string
-- @arg group string
-- @arg lease_ms integer
-- @arg claims integer          1: the caller claims next, so nobody else need be woken
-- @arg result bytes*           for each: member, token, verdict, argument, how many entries, their ids in order
-- @return integer*             for each 1, or 0: the lease was lost
local groups, copying, all_due, due, held, tries, parked, dead, passed, streams, lane, asleep = unpack(KEYS)
local wake, topic, group, lease, claims = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local others, since, copies = {}, {}, {}
for at, told in ipairs(redis.call('HGETALL', groups)) do
  if at % 2 == 1 then
    table.insert(others, told)
  elseif told ~= '0' then -- what was stored before is not for it; its own millisecond is
    since[others[#others]] = string.format('%.0f-4294967295', tonumber(told) - 1)
  end
end
if #others > 1 then
  copies = redis.call('HKEYS', copying)
end
local were_more = #others == 1 and redis.call('EXISTS', passed .. group) == 1 -- the others were removed
-- @include tape
local answers, scores, gone, ended, handled, lefts, news = {}, {}, {}, {}, {}, {}, false

-- @include entries

local function acknowledge_before(stream, name, id)
  local left = redis.pcall('XPENDING', stream, name, '-', id, 1000)
  for _, entry in ipairs(left.err and {} or left) do
    redis.call('XACK', stream, name, entry[1])
  end
end

-- What every group has passed is deleted.
local function pass(stream, key, id)
  if #others < 2 then
    redis.call('XTRIM', stream, 'MINID', after(id))
    return
  end
  local before = redis.call('HGET', passed .. group, key)
  if before and earlier(id, before) then
    return
  end
  redis.call('HSET', passed .. group, key, id)
  local all = id
  for _, other in ipairs(copies) do
    redis.call('ZADD', all_due .. other, 'NX', '0', key) -- lest it is gone before it is copied
  end
  for _, other in ipairs(others) do
    local reached = redis.call('HGET', passed .. other, key) or since[other]
    if not reached then
      return
    elseif earlier(reached, all) then
      all = reached
    end
  end
  redis.call('XTRIM', stream, 'MINID', after(all))
end

-- Whether a key has more for this group. A stream without entries goes, with all that is kept of its key.
local function has_more(stream, key)
  if redis.call('XLEN', stream) == 0 then
    redis.call('UNLINK', stream)
    if #others > 1 or were_more then
      for _, other in ipairs(others) do
        redis.call('HDEL', passed .. other, key)
      end
    end
    return false
  elseif #others < 2 then
    return true
  end
  local reached = redis.call('HGET', passed .. group, key) or '0-0'
  return #redis.call('XRANGE', stream, '(' .. reached, '+', 'COUNT', 1) > 0
end

-- Whether entries were given out that are not acknowledged; a group that was removed has given out nothing.
local function has_pending(stream, name)
  local pending = redis.pcall('XPENDING', stream, name)
  return not pending.err and pending[1] > 0
end

-- Whether an entry was not settled before: who had no answer settles again.
local function is_new(stream, name, id)
  local pending = redis.pcall('XPENDING', stream, name, id, id, 1)
  if pending.err then
    return #redis.call('XRANGE', stream, id, id) > 0
  end
  return #pending > 0
end

-- An event without key is deleted when no group waits for it or has it under way; returns what comes first then.
local function delete_passed(stream)
  local reached, least = {}, nil
  local infos = redis.pcall('XINFO', 'GROUPS', stream)
  for _, info in ipairs(infos.err and {} or infos) do
    reached[info[2]] = info[6] == 0 and after(info[8]) or redis.call('XPENDING', stream, info[2])[2]
  end
  for _, other in ipairs(others) do
    if not reached[other] then
      return
    elseif not least or earlier(reached[other], least) then
      least = reached[other]
    end
  end
  redis.call('XTRIM', stream, 'MINID', least)
  return least
end

-- What another group waited for that was removed since goes, too (see `dismiss`).
local function delete_left(stream, priority)
  if lefts[priority] == nil and were_more then
    lefts[priority] = redis.call('HGET', passed .. group, '\0' .. priority)
  end
  local least = lefts[priority] and delete_passed(stream)
  if least and earlier(lefts[priority], least) then
    redis.call('HDEL', passed .. group, '\0' .. priority)
    lefts[priority] = false
  end
end

local function end_lease(member, score)
  table.insert(ended, member)
  if score then
    table.insert(scores, score)
    table.insert(scores, member)
  else
    table.insert(gone, member)
  end
end

local function settle(member, token, verdict, argument, first, last)
  local count = last - first + 1
  local priority = string.match(member, '^%z(%d+)%z')
  local stream = priority and lane .. priority or streams .. member
  local name = not priority and group == 'default' and topic .. ':' .. member or group
  local fresh = verdict == 'dead' and is_new(stream, name, ARGV[last])
  if count > 0 then
    for from = first, last, 4000 do
      redis.call('XACK', stream, name, unpack(ARGV, from, math.min(last, from + 3999)))
    end
    if fresh then
      redis.call('XADD', dead, '*', 'tl', argument)
      note('dead', argument)
    end
    if not priority then
      acknowledge_before(stream, name, ARGV[last])
      pass(stream, member, ARGV[last])
    elseif #others < 2 then
      redis.call('XDEL', stream, unpack(ARGV, first, last))
      delete_left(stream, priority)
    else
      delete_passed(stream)
    end
  end
  if priority and count > 0 and (verdict == 'free' or verdict == 'retry') then
    verdict = 'done' -- nothing is left of it
  end
  if verdict == 'begin' then
    redis.call('HSET', held, member, token .. '!')
  end
  if verdict == 'keep' or verdict == 'dead' or verdict == 'begin' then
    table.insert(scores, string.format('%.0f', now + lease))
    table.insert(scores, member)
    if count > 0 then -- at once: what follows for the same member may set it again
      redis.call('HDEL', tries, member)
    end
  elseif verdict == 'retry' then
    if count > 0 then
      redis.call('HSET', tries, member, '1')
    else
      redis.call('HINCRBY', tries, member, 1)
    end
    end_lease(member, string.format('%.0f', now + tonumber(argument)))
    news = news or not claims
  elseif verdict == 'park' then
    redis.call('HSET', parked, member, argument)
    note('dead', argument)
    redis.call('HSET', tries, member, '0')
    end_lease(member, '+inf')
  elseif verdict == 'free' then
    if count > 0 then
      redis.call('HSET', tries, member, '0')
    else
      redis.call('HSETNX', tries, member, '0')
    end
    end_lease(member, string.format('%.0f', now))
    news = true
  else
    local more = not priority and has_more(stream, member)
    if more and has_pending(stream, name) then
      redis.call('HSET', tries, member, '0')
    else
      table.insert(handled, member)
    end
    end_lease(member, more and string.format('%.0f', now))
    news = news or more and not claims
  end
end

local at = 6
while at <= #ARGV do
  local member, token = ARGV[at], ARGV[at + 1]
  local first = at + 5
  local last = first + tonumber(ARGV[at + 4]) - 1
  local holder = redis.call('HGET', held, member)
  local ours = holder == token or holder == token .. '!'
  -- Where something else has a stream's name, nothing can be settled, and the lease ends by itself.
  local settled = ours and pcall(settle, member, token, ARGV[at + 2], ARGV[at + 3], first, last)
  table.insert(answers, settled and 1 or 0)
  at = last + 1
end
if #ended > 0 then
  redis.call('HDEL', held, unpack(ended))
end
if #handled > 0 then
  redis.call('HDEL', tries, unpack(handled))
end
if #gone > 0 then
  redis.call('ZREM', due, unpack(gone))
end
if #scores > 0 then
  redis.call('ZADD', due, 'XX', unpack(scores))
end
if news and redis.call('HDEL', asleep, group) == 1 then
  redis.call('SPUBLISH', wake, group)
end
return answers
