-- A Frame with one envelope: field 1, and its length as protobuf's varint.
local function as_frame(envelope)
  local size, head = #envelope, '\10'
  while size > 127 do
    head = head .. string.char(size % 128 + 128)
    size = math.floor(size / 128)
  end
  return head .. string.char(size) .. envelope
end

-- Whether a topic is one of a pattern: `*` is one token, `>` at the end is all that are left, at least one.
local function matches(pattern, topic)
  if pattern == topic then
    return true
  end
  local next_token = string.gmatch(topic, '[^.]+')
  for wanted in string.gmatch(pattern, '[^.]+') do
    local token = next_token()
    if not token then
      return false
    elseif wanted == '>' then
      return true
    elseif wanted ~= '*' and wanted ~= token then
      return false
    end
  end
  return next_token() == nil
end
