#!lua
-- reschedule: a planned event is due at another time; so is one that failed, and begins anew.
-- The id is appended to planned_prefix, the status to ended_prefix.
-- @key planned_prefix
-- @key agenda
-- @key ended_prefix
-- @key sums
-- @key role
-- @channel notice
-- @arg id string
-- @arg due integer             ms since 1970
-- @arg expires integer         ms since 1970; 0: never
-- @arg envelope bytes          as it is to be published then
-- @arg was string              the status it must have: "pending" or "failed"
-- @return integer              1; 0: there is none with that status
-- @include moment
-- @include plans
plans, agenda, ended, sums = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local role, notice, id, was = KEYS[5], ARGV[1], ARGV[2], ARGV[6]
local plan = read_plan(id)
if not plan or (plan.status or 'pending') ~= was then
  return 0
end
if plan.status then
  redis.call('ZREM', ended .. plan.status, id)
  redis.call('HINCRBY', sums, plan.status, -1)
  plan.status, plan.ended = nil, nil
end
plan.due, plan.expires, plan.envelope, plan.tries, plan.why = tonumber(ARGV[3]), nil, ARGV[5], nil, nil
if ARGV[4] ~= '0' then
  plan.expires = tonumber(ARGV[4])
end
write_plan(plan, id)
local place = place_of(plan, id)
redis.call('ZADD', agenda, ARGV[3], place)
if redis.call('ZRANK', agenda, place) == 0 then
  redis.call('PUBLISH', notice, 's\0' .. ARGV[3] .. '\0' .. (redis.call('GET', role) or ''))
end
return 1
