-- When the first of some sorted sets is due, ms since 1970; nil if they are empty.
local function first_of(...)
  local first
  for _, all in ipairs({ ... }) do
    local found = redis.call('ZRANGE', all, '0', '0', 'WITHSCORES')
    if found[2] and (not first or tonumber(found[2]) < first) then
      first = tonumber(found[2])
    end
  end
  return first
end
