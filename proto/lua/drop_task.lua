#!lua flags=allow-oom
-- drop_task: forget a cron task; what it fired before goes on.
-- @key cron_tasks
-- @key cron_names
-- @key ticks
-- @arg name string
-- @return bytes*               what there was: name, version, task, expected, runs, run; empty: nothing
-- @include tasks
tasks, names, ticks = KEYS[1], KEYS[2], KEYS[3]
local name = ARGV[1]
local record = read_task(name)
if not record then
  return {}
end
redis.call('HDEL', tasks, name)
redis.call('ZREM', names, name)
redis.call('ZREM', ticks, name)
return told_task(record, name)
