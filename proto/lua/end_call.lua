#!lua flags=allow-oom
-- end_call: say what became of a call that a cron task planned; one that failed may be due again.
-- The id is appended to planned_prefix, the status to ended_prefix.
-- @key planned_prefix
-- @key agenda
-- @key ended_prefix
-- @key sums
-- @key cron_tasks
-- @arg id string
-- @arg name string             of the task
-- @arg tries integer           how often it had been tried before
-- @arg failed string           why it failed; empty: it did not
-- @arg tick string             its tick, ms since 1970
-- @arg run bytes               what is to be known of it
-- @arg keep_ms integer         how long what ended is remembered
-- @arg keep integer            and how many with one status
-- @return string               "delivered", "failed", or "pending": it is tried again; empty: somebody else said so before
-- @include moment
-- @include plans
-- @include tasks
plans, agenda, ended, sums, tasks = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, name, why = ARGV[1], ARGV[2], ARGV[4]
local plan = read_plan(id)
if not plan or plan.status or (plan.tries or 0) ~= tonumber(ARGV[3]) then
  return ''
end
local status = why == '' and 'delivered' or 'failed'
if status == 'failed' then
  plan.tries = (plan.tries or 0) + 1
  if plan.tries < plan.most_tries then
    plan.due, plan.why, status = now + plan.backoff, why, 'pending'
    write_plan(plan, id)
    redis.call('ZADD', agenda, string.format('%.0f', plan.due), place_of(plan, id))
  end
end
if status ~= 'pending' then
  end_plan(plan, id, status, why, tonumber(ARGV[7]), tonumber(ARGV[8]))
end
local record = read_task(name)
if record then
  note_run(record, ARGV[5], ARGV[6])
  write_task(record, name)
end
return status
