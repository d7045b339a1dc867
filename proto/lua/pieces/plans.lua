-- What is planned: a record for each, its place in the agenda, and what has ended. Needs `now`.
-- Record: topic, envelope, due, priority, created; way: "key" (with key), "lane", "live" or "call" (with lease, ms); tries,
-- most_tries, backoff, cap, expires, known_as, window, most; status, ended and why once it has ended; task, if a cron task
-- planned it: then it is remembered only if it failed. What is nil is left out.
local plans, agenda, ended, sums

local function place_of(plan, id)
  return string.format('%02d', 99 - plan.priority) .. id
end

local function read_plan(id)
  local packed = redis.call('GET', plans .. id)
  return packed and cmsgpack.unpack(packed)
end

local function write_plan(plan, id, ...)
  return redis.call('SET', plans .. id, cmsgpack.pack(plan), ...)
end

-- It is over: remembered for a while, the last of them at most.
local function end_plan(plan, id, status, why, keep_ms, keep)
  plan.status, plan.ended, plan.why = status, now, why
  redis.call('ZREM', agenda, place_of(plan, id))
  redis.call('HINCRBY', sums, status, 1)
  if plan.task and status ~= 'failed' then
    redis.call('UNLINK', plans .. id)
    return
  end
  redis.call('SET', plans .. id, cmsgpack.pack(plan), 'PX', keep_ms)
  local all = ended .. status
  redis.call('ZADD', all, now, id)
  redis.call('ZREMRANGEBYSCORE', all, '-inf', string.format('%.0f', now - keep_ms))
  local over = redis.call('ZCARD', all) - keep
  if over > 0 then
    local oldest = redis.call('ZPOPMIN', all, over)
    for at = 1, #oldest, 2 do
      redis.call('UNLINK', plans .. oldest[at])
    end
  end
end

-- As callers get it: id, status, due, priority, tries, created, ended, why, way, envelope.
local function told(plan, id)
  local function number(given)
    return given and string.format('%.0f', given) or '0'
  end
  return {
    id, plan.status or 'pending', number(plan.due), number(plan.priority), number(plan.tries), number(plan.created),
    number(plan.ended), plan.why or '', plan.way, plan.envelope,
  }
end
