-- Acknowledges entries and removes them, together, so that the stream's length is the backlog.
--
-- KEYS[1] the stream
-- ARGV[1] the consumer group; then the ids
-- Returns how many were pending until now: an entry that another writer settled first counts there, not here.
local acknowledged = 0
for i = 2, #ARGV, 1000 do
  local last = math.min(i + 999, #ARGV) -- unpack puts its values on Lua's stack, which is small
  acknowledged = acknowledged + redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, i, last))
  redis.call('XDEL', KEYS[1], unpack(ARGV, i, last))
end
return acknowledged
