#!lua
-- responders: who answers requests on a topic now, and the groups of each there.
-- @key members
-- @key groups
-- @return string*              for each responder its instance and a list of its groups
local members, groups = KEYS[1], KEYS[2]
local clock = redis.call('TIME')
local now = string.format('(%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
local found, at = {}, {}
for _, instance in ipairs(redis.call('ZRANGE', members, now, '+inf', 'BYSCORE')) do
  local own = {}
  at[instance] = own
  table.insert(found, instance)
  table.insert(found, own)
end
for _, member in ipairs(redis.call('ZRANGE', groups, now, '+inf', 'BYSCORE')) do
  local cut = string.find(member, '\0', 1, true)
  local own = at[string.sub(member, cut + 1)]
  if own then
    table.insert(own, string.sub(member, 1, cut - 1))
  end
end
return found
