#!lua flags=no-writes
-- planned: tell of planned events: of one, or of a page of those with a status.
-- Pending ones are told by when they are due, the others the last first.
-- The id is appended to planned_prefix, the status to ended_prefix.
-- @key planned_prefix
-- @key agenda
-- @key ended_prefix
-- @key sums
-- @arg id string               of one; empty: a page
-- @arg status string
-- @arg offset integer          how many to pass over
-- @arg limit integer
-- @return bytes*               how many there are in all, then ten for each: id, status, due, priority, tries, created, ended, why, way,
-- envelope
-- @include moment
-- @include plans
plans, agenda, ended, sums = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local found = { '0' }
local function tell(id)
  local plan = read_plan(id)
  for _, one in ipairs(plan and told(plan, id) or {}) do
    table.insert(found, one)
  end
end

if ARGV[1] ~= '' then
  tell(ARGV[1])
  return found
end
local pending = ARGV[2] == 'pending'
local all, first, last = pending and agenda or ended .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[3]) + tonumber(ARGV[4]) - 1
found[1] = string.format('%.0f', redis.call('ZCARD', all))
for _, name in ipairs(redis.call('ZRANGE', all, first, last, unpack(pending and {} or { 'REV' }))) do
  tell(pending and string.sub(name, 3) or name)
end
return found
