#!lua
-- plan: have events of one topic published, each at its time; one that was planned before is not planned again.
-- The id is appended to planned_prefix.
-- @key planned_prefix
-- @key agenda
-- @key ended_prefix
-- @key sums
-- @key role
-- @channel notice
-- @arg topic string
-- @arg way string              "live", "lane" or "key"
-- @arg most_tries integer
-- @arg backoff integer         ms before the second try, then twice as long each time …
-- @arg cap integer             … up to this
-- @arg window integer          for how long (ms) they are recognised once they are stored, those that have an id for that
-- @arg most integer            events their stream may hold; 0 for no bound
-- @arg event bytes*            seven for each: id, key or empty, when it is due (ms since 1970), priority, when it expires (0: never), id to recognise it by or empty, envelope
-- @return integer*             for each 1; 0: it was planned before
-- @include moment
-- @include plans
-- @include first
plans, agenda, ended, sums = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local role, notice = KEYS[5], ARGV[1]
local most_tries, backoff, cap = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local function given(argument)
  return argument ~= '' and argument ~= '0' and argument or nil
end
local window, most = tonumber(given(ARGV[7])), tonumber(given(ARGV[8]))
local first, new, told, places = first_of(agenda), 0, {}, {}

local function enter()
  if #places > 0 then
    redis.call('ZADD', agenda, unpack(places))
    places = {}
  end
end

for at = 9, #ARGV, 7 do
  local id, known_as = ARGV[at], given(ARGV[at + 5])
  local plan = {
    topic = ARGV[2], way = ARGV[3], key = given(ARGV[at + 1]), due = tonumber(ARGV[at + 2]), created = now,
    priority = tonumber(ARGV[at + 3]), expires = tonumber(given(ARGV[at + 4])), most_tries = most_tries, backoff = backoff,
    cap = cap, known_as = known_as, window = known_as and window, most = most, envelope = ARGV[at + 6],
  }
  local is_new = write_plan(plan, id, 'NX')
  table.insert(told, is_new and 1 or 0)
  if is_new then
    new = new + 1
    table.insert(places, ARGV[at + 2])
    table.insert(places, place_of(plan, id))
  end
  if #places >= 4000 then
    enter()
  end
end
enter()
if new > 0 then
  redis.call('HINCRBY', sums, 'planned', new)
  local earliest = first_of(agenda)
  if not first or earliest < first then
    redis.call('PUBLISH', notice, 's\0' .. string.format('%.0f', earliest) .. '\0' .. (redis.call('GET', role) or ''))
  end
end
return told
