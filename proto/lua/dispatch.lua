#!lua
-- dispatch: hand each request to a live responder of its topic, in turn.
-- A responder gets all of its share in one message. Members whose lease ended, and members whose process no longer
-- listens, are removed on the way, and their share goes to the others.
-- @key members
-- @key turn
-- @channel request_prefix      requests for one responder; the instance is appended here
-- @arg avoid string            instance not to choose, or empty
-- @arg frame bytes*            a Frame with one request
-- @return string*              for each request the instance that took it, or empty: nobody did
local members, turn = KEYS[1], KEYS[2]
local channel, avoid = ARGV[1], ARGV[2]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local taken, left = {}, {}
for at = 3, #ARGV do
  taken[at - 2] = ''
  left[at - 2] = at - 2
end
local count = redis.call('ZCARD', members)
local rounds = 2 * count
while #left > 0 and count > 0 and rounds > 0 do
  rounds = rounds - 1
  local wanted = math.min(#left, count)
  local first = 0
  if count > 1 then
    first = redis.call('HINCRBY', turn, '', wanted) % count
  end
  local picks = redis.call('ZRANGE', members, first, first + wanted - 1, 'WITHSCORES')
  if first + wanted > count then
    for _, part in ipairs(redis.call('ZRANGE', members, 0, first + wanted - count - 1, 'WITHSCORES')) do
      table.insert(picks, part)
    end
  end
  local able = {}
  for at = 1, #picks, 2 do
    if tonumber(picks[at + 1]) <= now then
      redis.call('ZREM', members, picks[at])
      count = count - 1
    elseif picks[at] ~= avoid then
      table.insert(able, picks[at])
    end
  end
  local again = {}
  for seat, instance in ipairs(able) do
    local share, frames = {}, {}
    for at = seat, #left, #able do
      table.insert(share, left[at])
      table.insert(frames, ARGV[left[at] + 2])
    end
    if redis.call('SPUBLISH', channel .. instance, table.concat(frames)) > 0 then
      for _, request in ipairs(share) do
        taken[request] = instance
      end
    else
      redis.call('ZREM', members, instance)
      count = count - 1
      for _, request in ipairs(share) do
        table.insert(again, request)
      end
    end
  end
  if #able > 0 then
    left = again
  end
end
return taken
