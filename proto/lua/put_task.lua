#!lua
-- put_task: keep a cron task: a new one, or one whose version is known.
-- @key cron_tasks
-- @key cron_names
-- @key ticks
-- @key role
-- @channel notice
-- @arg name string
-- @arg version integer         0: it must be new
-- @arg task bytes
-- @arg expected string         its next tick, ms since 1970; empty: none
-- @arg fire_at integer         when that is fired
-- @arg most integer            tasks there may be
-- @return integer              its version now; 0: it has another one, or is there, or is not; -1: there are too many
-- @include tasks
tasks, names, ticks = KEYS[1], KEYS[2], KEYS[3]
local notice, name, version = ARGV[1], ARGV[2], tonumber(ARGV[3])
local record = read_task(name)
if (record and record.version or 0) ~= version then
  return 0
end
if not record then
  if redis.call('ZCARD', names) >= tonumber(ARGV[7]) then
    return -1
  end
  -- A version is never used twice: who knew a task that was deleted does not change one of the same name.
  local clock = redis.call('TIME')
  record = { version = clock[1] * 1000 + math.floor(clock[2] / 1000), runs = 0 }
  redis.call('ZADD', names, '0', name)
end
record.task, record.version = ARGV[4], record.version + 1
expect(record, name, ARGV[5], ARGV[6])
write_task(record, name)
if record.expected and redis.call('ZRANK', ticks, name) == 0 then
  redis.call('PUBLISH', notice, 's\0' .. ARGV[6] .. '\0' .. (redis.call('GET', KEYS[4]) or ''))
end
return record.version
