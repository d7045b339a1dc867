#!lua
-- tick: plan what ticks of a cron task do, and say which tick is next: once, whoever asks.
-- The id is appended to planned_prefix.
-- @key cron_tasks
-- @key ticks
-- @key planned_prefix
-- @key agenda
-- @key ended_prefix
-- @key sums
-- @key role
-- @channel notice
-- @arg name string
-- @arg version integer         of the task
-- @arg expected string         the tick that must be next; empty: a run besides the ticks, and what is next stays. It must be
-- later than all runs that there were
-- @arg next string             the tick that is next then; empty: none
-- @arg fire_at integer         when that is fired
-- @arg ran string              the last of the ticks that run now; empty: none does
-- @arg run bytes               what is to be known of it
-- @arg plans bytes*            eleven for each: id, topic, way, key, due, priority, expires, most_tries, backoff (ms),
-- lease (ms), envelope
-- @return integer              1; 0: it is another version, another tick is next, or there was a run as late as this one
-- @include moment
-- @include plans
-- @include tasks
tasks, ticks = KEYS[1], KEYS[2]
plans, agenda, ended, sums = KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local notice, name, expected, ran = ARGV[1], ARGV[2], ARGV[4], ARGV[7]
local news
local record = read_task(name)
if not record or record.version ~= tonumber(ARGV[3]) or (expected ~= '' and record.expected ~= expected) then
  return 0
end
if expected == '' and record.ran and tonumber(ran) <= tonumber(record.ran) then
  return 0
end
if expected ~= '' then
  expect(record, name, ARGV[5], ARGV[6])
end
for at = 9, #ARGV, 11 do
  local id, topic, way, key, due, priority, expires, most_tries, backoff, lease, envelope = unpack(ARGV, at, at + 10)
  local plan = {
    topic = topic, way = way, key = key ~= '' and key or nil, due = tonumber(due), priority = tonumber(priority),
    expires = expires ~= '0' and tonumber(expires) or nil, most_tries = tonumber(most_tries), backoff = tonumber(backoff),
    cap = tonumber(backoff), lease = tonumber(lease), envelope = envelope, created = now, task = name,
  }
  write_plan(plan, id)
  redis.call('ZADD', agenda, due, place_of(plan, id))
  news = news or redis.call('ZRANK', agenda, place_of(plan, id)) == 0 and due
  redis.call('HINCRBY', sums, 'planned', 1)
  record.runs = record.runs + 1
end
if ran ~= '' then
  note_run(record, ran, ARGV[8])
end
write_task(record, name)
if news then
  redis.call('PUBLISH', notice, 's\0' .. news .. '\0' .. (redis.call('GET', KEYS[7]) or ''))
end
return 1
