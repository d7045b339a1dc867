#!lua flags=allow-oom
-- extend: begin leases anew; members are named as `claim` names them.
-- @key due
-- @key held
-- @arg lease_ms integer
-- @arg lease string*           two for each: member, token
-- @return integer*             for each 1, or 0: the lease was lost
local due, held, lease = KEYS[1], KEYS[2], tonumber(ARGV[1])
local clock = redis.call('TIME')
local ends = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000) + lease)
local answers = {}
for at = 2, #ARGV, 2 do
  local holder = redis.call('HGET', held, ARGV[at])
  local ours = holder == ARGV[at + 1] or holder == ARGV[at + 1] .. '!'
  table.insert(answers, ours and 1 or 0)
  if ours then
    redis.call('ZADD', due, 'XX', ends, ARGV[at])
  end
end
return answers
