-- What happens goes on the tape while there are recorders (see `record`). Its two keys are the last ones of the script.
-- It holds so many entries, and about so many bytes; what is cut off at its end is lost, unless a recorder has read it.
local recording, tape = KEYS[#KEYS - 1], KEYS[#KEYS]
local tape_bounds = redis.pcall('HMGET', recording, 'most', 'most_bytes', 'tapped')
local tape_most = tonumber(tape_bounds[1] or 0)
local tape_most_bytes = tape_bounds[2] and tonumber(tape_bounds[2]) or math.huge
-- Until when (ms) somebody watches what is stored; the time is asked only then.
local tapped = tonumber(tape_bounds[3] or 0)
local tapped_kinds = { stored = true, again = true, plain = true }
if tapped > 0 and tonumber(redis.call('TIME')[1]) * 1000 > tapped then
  tapped = 0
end

-- About how many bytes an entry takes, by its names and values.
local function size_of(fields)
  local size = 64
  for _, part in ipairs(fields) do
    size = size + #part
  end
  return size
end

-- The oldest go until there are `tape_most` entries of `most_bytes` at most; one stays.
local function cut_tape(length, bytes, most_bytes)
  local first, last, gone = nil, nil, 0
  local function too_much()
    return gone < length - 1 and (length - gone > tape_most or bytes > most_bytes)
  end
  while too_much() do
    for _, entry in ipairs(redis.call('XRANGE', tape, last and '(' .. last or '-', '+', 'COUNT', 16)) do
      if too_much() then
        first, last = first or entry[1], entry[1]
        gone, bytes = gone + 1, bytes - size_of(entry[2])
      end
    end
  end
  if gone == 0 then
    return
  end
  local read = redis.pcall('XPENDING', tape, 'recorders', first, last, gone)
  redis.call('XTRIM', tape, 'MAXLEN', length - gone)
  redis.call('HSET', recording, 'bytes', string.format('%.0f', math.max(0, bytes)))
  redis.call('HINCRBY', recording, 'lost', gone - (read.err and 0 or #read))
end

local function note(...)
  if tapped > 0 and tapped_kinds[(...)] then
    redis.pcall('PUBLISH', tape .. ':tap', cmsgpack.pack({ ... }))
  end
  if tape_most > 0 and type(redis.pcall('XADD', tape, '*', ...)) == 'string' then
    local length, size = redis.call('XLEN', tape), size_of({ ... })
    local bytes = length > 1 and redis.call('HINCRBY', recording, 'bytes', size) or size
    if length == 1 then
      redis.call('HSET', recording, 'bytes', size)
    end
    if length - tape_most > tape_most / 64 then
      cut_tape(length, bytes, tape_most_bytes)
    elseif bytes > tape_most_bytes then
      cut_tape(length, bytes, tape_most_bytes - tape_most_bytes / 64)
    end
  end
end
