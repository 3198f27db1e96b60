-- Acknowledges entries and removes them, together, so that the stream's length is the backlog; and counts them in the
-- ledger in the same step, so that at any instant: entries added = stored + dead_lettered + removed + in the stream.
--
-- KEYS[1] the stream  KEYS[2] its ledger, a hash
-- ARGV[1] the consumer group  ARGV[2] how many rows were duplicates  ARGV[3] how many classes of entries; then of each
-- class the ledger's field and how many entries; then all the ids
-- Returns for each class how many were there until now: an entry that another writer has settled counts there.
local stream, ledger, group, duplicates, classes = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('HLEN', ledger) -- a script isn't rolled back: a key of another type must end it before it removes anything
local removed, total = {}, 0
local first = 4 + 2 * classes
for class = 1, classes do
  local field, size = ARGV[2 + 2 * class], tonumber(ARGV[3 + 2 * class])
  removed[class] = 0
  for i = first, first + size - 1, 1000 do
    local last = math.min(i + 999, first + size - 1) -- unpack puts its values on Lua's stack, which is small
    redis.call('XACK', stream, group, unpack(ARGV, i, last))
    removed[class] = removed[class] + redis.call('XDEL', stream, unpack(ARGV, i, last))
  end
  if removed[class] > 0 then
    redis.call('HINCRBY', ledger, field, removed[class])
  end
  total = total + removed[class]
  first = first + size
end
if total > 0 and duplicates > 0 then -- a batch that was settled before has no say in it
  redis.call('HINCRBY', ledger, 'duplicates', duplicates)
end
return removed
