#!lua
-- record: say that there is a recorder: from now on what happens goes on the tape.
-- @key recording
-- @key tape
-- @arg most integer            entries that the tape may hold, about …
-- @arg most_bytes integer      … of so many bytes in all, about
-- @arg longest_ms integer      how long this is true unless it is said again
-- @arg topics bytes            patterns of what is recorded, each after a NUL; empty: as they are
-- @arg first bytes             what they are if nobody has said so, or the server has lost it
-- @return bytes                the patterns
local recording, tape = unpack(KEYS)
redis.call('HSET', recording, 'most', ARGV[1], 'most_bytes', ARGV[2])
if ARGV[4] ~= '' then
  redis.call('HSET', recording, 'topics', ARGV[4])
end
redis.call('HSETNX', recording, 'topics', ARGV[5])
redis.call('PEXPIRE', recording, ARGV[3])
redis.pcall('XGROUP', 'CREATE', tape, 'recorders', '0', 'MKSTREAM')
redis.call('PEXPIRE', tape, ARGV[3])
return redis.call('HGET', recording, 'topics')
