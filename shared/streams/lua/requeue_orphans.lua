-- Finds orphans, entries that would never be delivered: not pending, and not after the group's last delivered id, as after
-- an XACK or an XGROUP SETID by hand. When there is nothing else to deliver, the group starts again from 0; what is
-- pending is then delivered once more as well, which changes nothing.
--
-- KEYS[1] the stream
-- ARGV[1] the group
-- Returns how many there are.
local stream, group = KEYS[1], ARGV[1]
local orphans = redis.call('XLEN', stream) - redis.call('XPENDING', stream, group)[1]
if orphans <= 0 then
  return 0
end
for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local about = {}
  for i = 1, #info, 2 do
    about[info[i]] = info[i + 1]
  end
  if about.name == group then
    if #redis.call('XRANGE', stream, '(' .. about['last-delivered-id'], '+', 'COUNT', 1) > 0 then
      return 0
    end
    redis.call('XGROUP', 'SETID', stream, group, '0')
  end
end
return orphans
