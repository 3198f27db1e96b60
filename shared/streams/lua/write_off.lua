#!lua flags=allow-oom
-- Writes off what is missing: sets `removed` so that added = stored + dead_lettered + ignored + removed + in the
-- stream.
--
-- KEYS[1] the stream  KEYS[2] its ledger, a hash
-- ARGV[1] the ledger's revision from now on; a ledger of this revision or a later one is left as it is
-- Returns how many entries were written off; below zero, the stream was deleted while its ledger goes on.
local stream, ledger = KEYS[1], KEYS[2]
local function count(field)
  return tonumber(redis.call('HGET', ledger, field) or 0)
end
local revision = redis.call('HGET', ledger, 'revision') or count('looks') -- the name in the version before
if tonumber(revision) >= tonumber(ARGV[1]) then
  return 0
end
local info = {['entries-added'] = 0, length = 0}
if redis.call('EXISTS', stream) == 1 then
  local reply = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #reply, 2 do
    info[reply[i]] = reply[i + 1]
  end
end
local settled = count('stored') + count('dead_lettered') + count('ignored')
local unaccounted = info['entries-added'] - settled - info.length
local written_off = unaccounted - count('removed')
redis.call('HSET', ledger, 'removed', unaccounted, 'revision', ARGV[1])
return written_off
