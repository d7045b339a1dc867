#!lua
-- settle_run: keep the result of a run under its idempotency key; the first one written stays.
-- Who waited is kept for a minute: whoever settles again did perhaps not hear who is to be answered.
-- @key run
-- @key settled
-- @arg fingerprint bytes       of the payload that was run
-- @arg window_ms integer       how long the result is kept, if the claim is gone that said so
-- @arg reply bytes             the REPLY, without call_id
-- @return string*              the reply that counts, then everyone who waits for it, as `claim_run` took them
local run, settled = KEYS[1], KEYS[2]
local fingerprint, reply = ARGV[1], ARGV[3]
local fields = redis.call('HGETALL', run)
local known, stored, window = false, false, ARGV[2]
local answer = { reply }
local function waits(name)
  if string.sub(name, 1, 1) == 'j' then
    table.insert(answer, string.sub(name, 2))
  end
end
for at = 1, #fields, 2 do
  local name, value = fields[at], fields[at + 1]
  if name == 'f' then
    known = value
  elseif name == 'r' then
    stored = value
  elseif name == 'w' then
    window = value
  else
    waits(name)
  end
end
if known and known ~= fingerprint then
  return { reply }
end
if stored then
  answer[1] = stored
  for _, name in ipairs(redis.call('HKEYS', settled)) do
    waits(name)
  end
else
  if known then
    redis.call('RENAME', run, settled)
    redis.call('PEXPIRE', settled, 60000)
  end
  redis.call('HSET', run, 'f', fingerprint, 'r', reply)
  redis.call('PEXPIRE', run, window)
end
return answer
