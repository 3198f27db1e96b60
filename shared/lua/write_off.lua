#!lua flags=allow-oom
-- Writes off what the ledger misses: sets `removed` so that added = stored + dead_lettered + removed + in the stream.
--
-- KEYS[1] the stream  KEYS[2] its ledger, a hash
-- ARGV[1] how many looks the ledger counts from now on; one that counts so many already is left as it is
-- Returns how many entries were written off; below zero, the stream had forgotten entries that the ledger remembers.
local stream, ledger = KEYS[1], KEYS[2]
local function count(field)
  return tonumber(redis.call('HGET', ledger, field) or 0)
end
if count('looks') >= tonumber(ARGV[1]) then
  return 0
end
local info = {['entries-added'] = 0, length = 0}
if redis.call('EXISTS', stream) == 1 then
  local reply = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #reply, 2 do
    info[reply[i]] = reply[i + 1]
  end
end
local unaccounted = info['entries-added'] - count('stored') - count('dead_lettered') - info.length
local written_off = unaccounted - count('removed')
redis.call('HSET', ledger, 'removed', unaccounted, 'looks', ARGV[1])
return written_off
