#!lua flags=allow-oom
-- cancel: a planned event is not to be published.
-- The id is appended to planned_prefix, the status to ended_prefix.
-- @key planned_prefix
-- @key agenda
-- @key ended_prefix
-- @key sums
-- @arg id string
-- @arg keep_ms integer         how long what ended is remembered
-- @arg keep integer            and how many with one status
-- @return bytes*               the event as `planned` tells it, as it was before; empty: there is none
-- @include moment
-- @include plans
plans, agenda, ended, sums = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local plan = read_plan(ARGV[1])
if not plan then
  return {}
end
local was = told(plan, ARGV[1])
if not plan.status then
  end_plan(plan, ARGV[1], 'cancelled', '', tonumber(ARGV[2]), tonumber(ARGV[3]))
end
return was
