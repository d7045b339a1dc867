#!lua flags=no-writes
-- tasks: tell of cron tasks: of one, or of a page of them in the order of their names.
-- @key cron_tasks
-- @key cron_names
-- @key ticks
-- @arg name string             of one; empty: a page
-- @arg offset integer          how many to pass over
-- @arg limit integer
-- @return bytes*               how many there are in all, then six for each: name, version, task, expected, runs, run
-- @include tasks
tasks, names, ticks = KEYS[1], KEYS[2], KEYS[3]
local found = { string.format('%.0f', redis.call('ZCARD', names)) }
local some = { ARGV[1] }
if ARGV[1] == '' then
  some = redis.call('ZRANGE', names, ARGV[2], string.format('%.0f', ARGV[2] + ARGV[3] - 1))
end
for _, name in ipairs(some) do
  local record = read_task(name)
  for _, one in ipairs(record and told_task(record, name) or {}) do
    table.insert(found, one)
  end
end
return found
