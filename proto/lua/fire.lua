#!lua
-- fire: publish or store what is due, each once however many ask; one instance at a time does, for as long as it is heard of.
-- NUL in the names stands for the topic.
-- @key planned_prefix
-- @key agenda
-- @key ended_prefix
-- @key sums
-- @key role
-- @key patterns
-- @key mail_groups
-- @key due_prefix
-- @key stream_prefix
-- @key lane_prefix
-- @key lanes
-- @key asleep
-- @key known_prefix
-- @key groups
-- @key turn
-- @key mail_topics
-- @key ticks
-- @key recording
-- @key tape
-- @channel wake
-- @channel event
-- @channel group_prefix
-- @channel observed
-- @arg instance string         who asks
-- @arg role_ms integer         how long it may be silent
-- @arg events integer          at most so many
-- @arg most_alone integer      events a stream may hold while its topic has no group
-- @arg keep_ms integer         how long what ended is remembered
-- @arg keep integer            and how many with one status
-- @return bytes*               when to look again (ms from now; empty: when told so), then three for each that left the agenda: id,
-- status, due; for a call that is to be made: id, "call", due; for a cron task: name, "tick", when
-- @include moment
-- @include first
-- @include plans
-- @include tape
-- @include store
-- @include share
-- @include matches
plans, agenda, ended, sums = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local role, patterns = KEYS[5], KEYS[6]
local instance, role_ms, alone = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[8])
local keep_ms, keep = tonumber(ARGV[9]), tonumber(ARGV[10])
local holder = redis.call('GET', role)
local left = holder and holder ~= instance and redis.call('PTTL', role)
if left and left >= 0 and left <= 2 * role_ms then -- nobody has it for longer, unless the server's clock was set
  return { string.format('%.0f', left + 1) }
end

local function named(template, topic)
  return (string.gsub(template, '%z', topic))
end

local wild
local function read_wild()
  wild = { g = {}, o = {} }
  for _, entry in ipairs(redis.call('ZRANGE', patterns, '(' .. string.format('%.0f', now), '+inf', 'BYSCORE')) do
    local kind, pattern = string.match(entry, '^(%a)%z([^%z]*)')
    if kind and wild[kind] then
      wild[kind][pattern] = true
    end
  end
end

local function publish(plan)
  local topic, frame, done = plan.topic, as_frame(plan.envelope), {}
  note('live', frame)
  redis.call('PUBLISH', named(ARGV[2], topic), frame)
  if not wild then
    read_wild()
  end
  local function serve(pattern)
    for _, group in ipairs(share(named(KEYS[14], pattern), named(KEYS[15], pattern), named(ARGV[3], pattern), frame, done)) do
      done[group] = true
    end
  end
  serve(topic)
  for pattern in pairs(wild.g) do
    if matches(pattern, topic) then
      serve(pattern)
    end
  end
  for pattern in pairs(wild.o) do
    if matches(pattern, topic) then
      redis.call('PUBLISH', named(ARGV[4], topic), frame)
      break
    end
  end
end

-- What is expired is stored all the same: in each group it becomes a dead letter.
local added
local function store(plan)
  added, ready, seen, parallel = false, {}, {}, false
  local topic, key, priority = plan.topic, plan.key or '', string.format('%d', plan.priority)
  local known = plan.known_as and named(KEYS[13], topic) .. plan.known_as
  if known and redis.call('EXISTS', known) == 1 then
    return '='
  end
  due, streams, lane, lanes, asleep, wake =
    named(KEYS[8], topic), named(KEYS[9], topic), named(KEYS[10], topic), named(KEYS[11], topic), named(KEYS[12], topic),
    named(ARGV[1], topic)
  bounded(named(KEYS[7], topic), plan.most or 0, alone)
  redis.call('SADD', KEYS[16], topic)
  local entry = add(key, priority, plan.envelope)
  if entry ~= '' and entry ~= '!' then
    added = true
    mark_ready(key, priority)
    tell_groups()
    note('stored', plan.envelope, 'stream', stream_of(key, priority), 'entry', entry)
    if known then
      redis.call('SET', known, entry, 'PX', plan.window)
    end
  end
  return entry
end

-- What becomes of what is due; nothing if it is to be tried again later. Where something else has a name that one event
-- needs, that is the trouble of this one alone, and what went out of it does not go out again.
local function fire(plan, id)
  local expired = plan.expires and plan.expires <= now
  if plan.way == 'call' then
    if not expired then
      redis.call('ZADD', agenda, string.format('%.0f', now + plan.lease), place_of(plan, id))
    end
    return expired and 'expired' or 'call', ''
  end
  if plan.way == 'live' then
    if not expired and not pcall(publish, plan) then
      return 'failed', 'no stream'
    end
    return expired and 'expired' or 'delivered', ''
  end
  local fine, entry = pcall(store, plan)
  if fine and entry ~= '' and entry ~= '!' then
    return expired and 'expired' or 'delivered', ''
  end
  plan.tries = (plan.tries or 0) + 1
  plan.why = entry == '' and 'no room' or 'no stream'
  if plan.tries >= plan.most_tries or added then
    return 'failed', plan.why
  end
  plan.due = now + math.min(plan.cap, plan.backoff * 2 ^ (plan.tries - 1))
  write_plan(plan, id)
  redis.call('ZADD', agenda, string.format('%.0f', plan.due), place_of(plan, id))
end

local fired = { '' }
local found = redis.call('ZRANGE', agenda, '-inf', string.format('%.0f', now), 'BYSCORE', 'LIMIT', '0', ARGV[7])
for _, place in ipairs(found) do
  local id = string.sub(place, 3)
  local fine, plan = pcall(read_plan, id)
  if not fine or type(plan) ~= 'table' then
    redis.call('ZREM', agenda, place)
  else
    local was_due = string.format('%.0f', plan.due)
    local status, why = fire(plan, id)
    if status then
      if status ~= 'call' then
        end_plan(plan, id, status, why, keep_ms, keep)
      end
      table.insert(fired, id)
      table.insert(fired, status)
      table.insert(fired, was_due)
    end
  end
end
-- What is handed out comes again if nobody says in time what became of it.
local handed = redis.call('ZRANGE', KEYS[17], '-inf', string.format('%.0f', now), 'BYSCORE', 'LIMIT', '0', ARGV[7], 'WITHSCORES')
for at = 1, #handed, 2 do
  redis.call('ZADD', KEYS[17], string.format('%.0f', now + role_ms), handed[at])
  table.insert(fired, handed[at])
  table.insert(fired, 'tick')
  table.insert(fired, string.format('%.0f', tonumber(handed[at + 1])))
end
local first = first_of(agenda, KEYS[17])
local wait = first and math.max(first - now, 0)
if wait and wait <= role_ms then
  redis.call('SET', role, instance, 'PX', string.format('%.0f', wait + role_ms))
elseif holder then
  redis.call('UNLINK', role)
end
fired[1] = wait and string.format('%.0f', wait) or ''
return fired
