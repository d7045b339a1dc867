#!lua flags=allow-oom
-- recorded: entries of the tape are in history, and go.
-- @key recording
-- @key tape
-- @arg bytes integer           that they take, as `note` counts them: 64 for each, and its names and values
-- @arg entry string*           their ids
-- @return integer              how many were there
local recording, tape = unpack(KEYS)
local gone = 0
for at = 2, #ARGV, 4000 do
  local last = math.min(#ARGV, at + 3999)
  redis.call('XACK', tape, 'recorders', unpack(ARGV, at, last))
  gone = gone + redis.call('XDEL', tape, unpack(ARGV, at, last))
end
if gone > 0 then
  local bytes = string.format('%.0f', -tonumber(ARGV[1]) * gone / (#ARGV - 1))
  if redis.call('HINCRBY', recording, 'bytes', bytes) < 0 or redis.call('XLEN', tape) == 0 then
    redis.call('HDEL', recording, 'bytes')
  end
end
return gone
