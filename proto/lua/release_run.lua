#!lua flags=allow-oom
-- release_run: give up a claim whose run ended without a result.
-- @key run
-- @arg token string            as claimed
-- @return string*              everyone who waits for it, as `claim_run` took them; nobody if the claim is not ours
local run = KEYS[1]
local waiting = {}
if redis.call('HGET', run, 't') ~= ARGV[1] then
  return waiting
end
for _, name in ipairs(redis.call('HKEYS', run)) do
  if string.sub(name, 1, 1) == 'j' then
    table.insert(waiting, string.sub(name, 2))
  end
end
redis.call('DEL', run)
return waiting
