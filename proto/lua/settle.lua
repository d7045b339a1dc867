#!lua
-- settle: keep the result of a run under its idempotency key; the first one written stays.
-- @key run
-- @arg fingerprint bytes       of the payload that was run
-- @arg window_ms integer       how long the result is kept, if the claim is gone that said so
-- @arg reply bytes             the REPLY, without call_id
-- @return string*              the reply that counts, then everyone who waits for it, as `claim` took them
local run, fingerprint, reply = KEYS[1], ARGV[1], ARGV[3]
local fields = redis.call('HGETALL', run)
local known, stored, window = false, false, ARGV[2]
local answer = { reply }
for at = 1, #fields, 2 do
  local name, value = fields[at], fields[at + 1]
  if name == 'f' then
    known = value
  elseif name == 'r' then
    stored = value
  elseif name == 'w' then
    window = value
  elseif string.sub(name, 1, 1) == 'j' then
    table.insert(answer, string.sub(name, 2))
  end
end
if known and known ~= fingerprint then
  return { reply }
end
if stored then
  answer[1] = stored
else
  redis.call('DEL', run)
  redis.call('HSET', run, 'f', fingerprint, 'r', reply)
  redis.call('PEXPIRE', run, window)
end
return answer
