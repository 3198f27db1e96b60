-- Acknowledges entries and removes them, together, so that the stream's length is the backlog.
--
-- KEYS[1] the stream
-- ARGV[1] the consumer group  ARGV[2] how many kinds of entries; then the number of each kind; then all the ids
-- Returns for each kind how many were there until now: an entry that another writer has settled counts there.
local stream, group, kinds = KEYS[1], ARGV[1], tonumber(ARGV[2])
local removed = {}
local first = 3 + kinds
for kind = 1, kinds do
  local size = tonumber(ARGV[2 + kind])
  removed[kind] = 0
  for i = first, first + size - 1, 1000 do
    local last = math.min(i + 999, first + size - 1) -- unpack puts its values on Lua's stack, which is small
    redis.call('XACK', stream, group, unpack(ARGV, i, last))
    removed[kind] = removed[kind] + redis.call('XDEL', stream, unpack(ARGV, i, last))
  end
  first = first + size
end
return removed
