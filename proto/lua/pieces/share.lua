-- Each group gets one copy of an event at its next live member; returns those served now: all that are not `done`, or
-- one only.
-- Needs `now`. `channel`: a group's events for one member; "<instance>:<group>" is appended.
local function share(groups, turn, channel, frame, done, only)
  local live = redis.call('ZRANGE', groups, '(' .. string.format('%.0f', now), '+inf', 'BYSCORE')
  local served, instances = {}, {}
  for _, member in ipairs(live) do
    local cut = string.find(member, '\0', 1, true)
    local group = string.sub(member, 1, cut - 1)
    if only and group == only or done and not done[group] then
      instances[group] = instances[group] or {}
      table.insert(instances[group], string.sub(member, cut + 1))
    end
  end
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
end
