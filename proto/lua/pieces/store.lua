-- Events are stored in the streams of one topic: `names` are its subscription groups, and what the key, the priority or the
-- group is appended to stands in `streams`, `lane`, `due`. Needs `now`. A key that was idle becomes ready in every group.
local names, due, streams, lane, lanes, asleep, wake, most
local ready, seen, parallel, moment = {}, {}, false, string.format('%.0f', now)

-- The groups of the topic, and how many events a stream may hold: while it has none, keys are listed under the empty name.
local function bounded(groups, wanted, alone)
  names, most = redis.call('HKEYS', groups), wanted
  if #names == 0 then
    names = { '' }
    most = most > 0 and math.min(most, alone) or alone
  end
end

local function stream_of(key, priority)
  return key ~= '' and streams .. key or lane .. priority
end

-- Its entry id; empty if there is no room; "!" where something else has the stream's name: that stops no other event.
local function add(key, priority, envelope)
  local stream = stream_of(key, priority)
  local length = most > 0 and redis.pcall('XLEN', stream)
  if type(length) == 'number' and length >= most then
    return ''
  end
  local entry = redis.pcall('XADD', stream, '*', 'tl', envelope)
  return type(entry) == 'string' and entry or '!'
end

local function mark_ready(key, priority)
  if key == '' then
    parallel = true
    if not seen['\0' .. priority] then
      seen['\0' .. priority] = true
      redis.call('SADD', lanes, priority)
    end
  elseif not seen[key] then
    seen[key] = true
    table.insert(ready, moment)
    table.insert(ready, key)
  end
end

-- What was added is there for every group, and who sleeps is woken.
local function tell_groups()
  for _, group in ipairs(names) do
    local news = parallel
    for at = 1, #ready, 4000 do
      news = redis.call('ZADD', due .. group, 'NX', unpack(ready, at, math.min(#ready, at + 3999))) > 0 or news
    end
    if news and redis.call('HDEL', asleep, group) == 1 then
      redis.call('SPUBLISH', wake, group)
    end
  end
  ready, seen, parallel = {}, {}, false
end
