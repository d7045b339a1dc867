#!lua flags=allow-oom
-- listen: hand a recorder the next entries of the tape.
-- First those that another one read and did not acknowledge in time, if they are asked for. Entries of which that is true
-- and that are no longer there are counted as lost.
-- @key recording
-- @key tape
-- @arg recorder string
-- @arg most integer            entries wanted
-- @arg bytes integer           of all, about
-- @arg idle_ms integer         0: what others have is not asked for
-- @arg forget_ms integer        recorders that have nothing and were silent for so long are forgotten, if idle_ms is not 0
-- @return string*              entries as Redis tells them
local recording, tape = unpack(KEYS)
local recorder, most, bytes, idle = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local got, size = {}, 0

local function keep(list)
  for _, entry in ipairs(list) do
    for _, value in ipairs(entry[2]) do
      size = size + #value
    end
    table.insert(got, entry)
  end
end

local from = '0-0'
while idle > 0 and size < bytes and #got < most do
  local told = redis.call('XAUTOCLAIM', tape, 'recorders', recorder, idle, from, 'COUNT', 8)
  keep(told[2])
  if told[3] and #told[3] > 0 then
    redis.call('HINCRBY', recording, 'lost', #told[3])
  end
  from = told[1]
  if from == '0-0' then
    break
  end
end
for _, info in ipairs(idle > 0 and redis.call('XINFO', 'CONSUMERS', tape, 'recorders') or {}) do
  if info[4] == 0 and info[6] > tonumber(ARGV[5]) and info[2] ~= recorder then
    redis.call('XGROUP', 'DELCONSUMER', tape, 'recorders', info[2])
  end
end
local some = 4
while #got < most and size < bytes and some > 0 do
  local asked = math.min(most - #got, some)
  local found = redis.call('XREADGROUP', 'GROUP', 'recorders', recorder, 'COUNT', asked, 'STREAMS', tape, '>')
  local list = found and found[1][2] or {}
  keep(list)
  if #list < asked then
    break
  end
  some = math.floor((bytes - size) * #got / math.max(1, size))
end
return got
