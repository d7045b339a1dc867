#!lua flags=allow-oom
-- recorded: entries of the tape are in history, and go.
-- @key tape
-- @arg entry string*           their ids
-- @return integer              how many were there
local tape, gone = KEYS[1], 0
for at = 1, #ARGV, 4000 do
  local last = math.min(#ARGV, at + 3999)
  redis.call('XACK', tape, 'recorders', unpack(ARGV, at, last))
  gone = gone + redis.call('XDEL', tape, unpack(ARGV, at, last))
end
return gone
