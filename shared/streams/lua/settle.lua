#!lua flags=allow-oom
-- Acknowledges entries and removes them, together, so that the stream's length is the backlog; and counts them in the
-- ledger in the same step, so that at any instant: entries added = stored + dead_lettered + ignored + removed + in the
-- stream.
-- It runs at maxmemory too, since it is what makes room.
--
-- KEYS[1] the stream  KEYS[2] its ledger, a hash
-- ARGV[1] the consumer group  ARGV[2] how many rows were duplicates  ARGV[3] how many classes of entries; then of each
-- class the ledger's field and how many entries; then all the ids
-- Returns for each class how many were settled by this: an entry that another writer has settled counts there. An id
-- that this stream never delivered is not removed: after a failover it may be another entry, to which the new master gave
-- the same id.
local stream, ledger, group, duplicates, classes = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
-- A script isn't rolled back: what can't be counted must end it before it removes anything.
redis.call('HINCRBY', ledger, 'duplicates', 0)
for class = 1, classes do
  redis.call('HINCRBY', ledger, ARGV[2 + 2 * class], 0)
end
local function position(id)
  local ms, number = id:match('^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end
local function delivered(ids) -- those up to the last one that the group has delivered
  local last_ms, last_number = 0, 0
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  for i = 1, #groups do -- none where there is no stream
    local info = {}
    for j = 1, #groups[i], 2 do
      info[groups[i][j]] = groups[i][j + 1]
    end
    if info.name == group then
      last_ms, last_number = position(info['last-delivered-id'])
    end
  end
  local found = {}
  for _, id in ipairs(ids) do
    local ms, number = position(id)
    if ms < last_ms or (ms == last_ms and number <= last_number) then
      found[#found + 1] = id
    end
  end
  return found
end
local settled, total = {}, 0
local first = 4 + 2 * classes
for class = 1, classes do
  local field, size = ARGV[2 + 2 * class], tonumber(ARGV[3 + 2 * class])
  settled[class] = 0
  for i = first, first + size - 1, 1000 do
    local last = math.min(i + 999, first + size - 1) -- unpack puts its values on Lua's stack, which is small
    local ids = {unpack(ARGV, i, last)}
    local acknowledged = redis.call('XACK', stream, group, unpack(ids))
    local known = acknowledged == #ids and ids or delivered(ids)
    local removed = #known > 0 and redis.call('XDEL', stream, unpack(known)) or 0
    -- They differ if another client trimmed pending entries, or acknowledged some: they were stored all the same.
    settled[class] = settled[class] + (#known == #ids and math.max(acknowledged, removed) or removed)
  end
  redis.call('HINCRBY', ledger, field, settled[class])
  total = total + settled[class]
  first = first + size
end
if total > 0 then -- not again for a batch that was settled before
  redis.call('HINCRBY', ledger, 'duplicates', duplicates)
end
return settled
