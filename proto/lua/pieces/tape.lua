-- What happens goes on the tape while there are recorders (see `record`). Its two keys are the last ones of the script.
-- What is cut off at its end is lost, unless a recorder has read it.
local recording, tape = KEYS[#KEYS - 1], KEYS[#KEYS]
local tape_most = redis.pcall('HGET', recording, 'most')
tape_most = type(tape_most) == 'string' and tonumber(tape_most) or 0

local function cut_tape(over)
  local before = redis.call('XRANGE', tape, '-', '+', 'COUNT', 1)[1][1]
  redis.call('XTRIM', tape, 'MAXLEN', tape_most)
  local first = redis.call('XRANGE', tape, '-', '+', 'COUNT', 1)[1][1]
  local read = redis.pcall('XPENDING', tape, 'recorders', before, '(' .. first, over)
  redis.call('HINCRBY', recording, 'lost', over - (read.err and 0 or #read))
end

local function note(...)
  if tape_most > 0 and type(redis.pcall('XADD', tape, '*', ...)) == 'string' then
    local over = redis.call('XLEN', tape) - tape_most
    if over > tape_most / 64 then
      cut_tape(over)
    end
  end
end
