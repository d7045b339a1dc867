#!lua
-- publish: broadcast an event, and give each group one copy at its next live member.
-- With an empty event channel nothing is broadcast: so a wildcard pattern's groups are served.
-- @key groups
-- @key turn
-- @key recording
-- @key tape
-- @channel group_prefix        a group's events for one member; "<instance>:<group>" is appended here
-- @arg event_channel string    channel to broadcast on, or empty
-- @arg frame bytes             a Frame with the event
-- @arg served string*          groups that have their copy already
-- @return string*              groups served now
local groups, turn = KEYS[1], KEYS[2]
local channel, event_channel, frame = ARGV[1], ARGV[2], ARGV[3]
-- @include tape
if event_channel ~= '' then
  note('live', frame)
  redis.call('PUBLISH', event_channel, frame)
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local live = redis.call('ZRANGE', groups, '(' .. string.format('%.0f', now), '+inf', 'BYSCORE')
if #live == 0 then
  return {}
end
local done = {}
for at = 4, #ARGV do
  done[ARGV[at]] = true
end
local instances = {}
for _, member in ipairs(live) do
  local cut = string.find(member, '\0', 1, true)
  local group = string.sub(member, 1, cut - 1)
  if not done[group] then
    instances[group] = instances[group] or {}
    table.insert(instances[group], string.sub(member, cut + 1))
  end
end
local served = {}
for group, members in pairs(instances) do
  local first = redis.call('HINCRBY', turn, group, 1)
  for step = 0, #members - 1 do
    local instance = members[(first + step) % #members + 1]
    if redis.call('SPUBLISH', channel .. instance .. ':' .. group, frame) > 0 then
      table.insert(served, group)
      break
    end
    redis.call('ZREM', groups, group .. '\0' .. instance)
  end
end
return served
