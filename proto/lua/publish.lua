#!lua
-- publish: broadcast an event, and give each group one copy at its next live member.
-- With an empty event channel nothing is broadcast: so a wildcard pattern's groups are served.
-- @key groups
-- @key turn
-- @key recording
-- @key tape
-- @channel group_prefix        a group's events for one member; "<instance>:<group>" is appended here
-- @arg event_channel string    channel to broadcast on, or empty
-- @arg frame bytes             a Frame with the event
-- @arg served string*          groups that have their copy already
-- @return string*              groups served now
local event_channel, frame = ARGV[2], ARGV[3]
-- @include tape
if event_channel ~= '' then
  note('live', frame)
  redis.call('PUBLISH', event_channel, frame)
end
-- @include moment
-- @include share
local done = {}
for at = 4, #ARGV do
  done[ARGV[at]] = true
end
return share(KEYS[1], KEYS[2], ARGV[1], frame, done)
