-- Cron tasks: a record for each, and when its next tick is fired.
-- Record: task, version; expected (its next tick, as text); ran (the tick of its last run, as text) and run; runs: how many.
local tasks, names, ticks

local function read_task(name)
  local packed = redis.call('HGET', tasks, name)
  return packed and cmsgpack.unpack(packed)
end

local function write_task(record, name)
  redis.call('HSET', tasks, name, cmsgpack.pack(record))
end

-- The next tick, and when it is fired; empty: none.
local function expect(record, name, expected, fire_at)
  record.expected = expected ~= '' and expected or nil
  if record.expected then
    redis.call('ZADD', ticks, fire_at, name)
  else
    redis.call('ZREM', ticks, name)
  end
end

-- A run that is at least as late as the last one that is known.
local function note_run(record, tick, run)
  if not record.ran or tonumber(tick) >= tonumber(record.ran) then
    record.ran, record.run = tick, run
  end
end

-- As callers get it: name, version, task, expected, runs, run.
local function told_task(record, name)
  local version, runs = string.format('%.0f', record.version), string.format('%.0f', record.runs)
  return { name, version, record.task, record.expected or '', runs, record.run or '' }
end
