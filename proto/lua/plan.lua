#!lua
-- plan: have an event published at a time. Who planned it before, and had no answer, plans it again: it is planned once.
-- The id is appended to planned_prefix.
-- @key planned_prefix
-- @key agenda
-- @key ended_prefix
-- @key sums
-- @key role
-- @channel notice
-- @arg id string
-- @arg topic string
-- @arg way string              "live", "lane" or "key"
-- @arg key string              its ordering key, or empty
-- @arg due integer             ms since 1970
-- @arg priority integer
-- @arg expires integer         ms since 1970; 0: never
-- @arg most_tries integer
-- @arg backoff integer         ms before the second try, then twice as long each time …
-- @arg cap integer             … up to this
-- @arg known_as string         id to recognise it by when it is stored, or empty
-- @arg window integer          for how long (ms)
-- @arg most integer            events its stream may hold; 0 for no bound
-- @arg envelope bytes
-- @return integer              1; 0: it was planned before
-- @include moment
-- @include plans
plans, agenda, ended, sums = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local role, notice, id = KEYS[5], ARGV[1], ARGV[2]
if redis.call('EXISTS', plans .. id) == 1 then
  return 0
end
local function given(at)
  return ARGV[at] ~= '' and ARGV[at] ~= '0' and ARGV[at] or nil
end
local plan = {
  topic = ARGV[3], way = ARGV[4], key = given(5), due = tonumber(ARGV[6]), priority = tonumber(ARGV[7]), created = now,
  expires = tonumber(given(8)), most_tries = tonumber(ARGV[9]), backoff = tonumber(ARGV[10]), cap = tonumber(ARGV[11]),
  known_as = given(12), window = tonumber(given(13)), most = tonumber(given(14)), envelope = ARGV[15],
}
write_plan(plan, id)
local place = place_of(plan, id)
redis.call('ZADD', agenda, ARGV[6], place)
redis.call('HINCRBY', sums, 'planned', 1)
if redis.call('ZRANK', agenda, place) == 0 then
  redis.call('PUBLISH', notice, 's\0' .. ARGV[6] .. '\0' .. (redis.call('GET', role) or ''))
end
return 1
