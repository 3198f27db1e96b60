#!lua flags=allow-oom
-- The figures of a stream, its ledger and its consumers in one atomic step, also while Redis is at maxmemory. The first and
-- the last entry, which may be large, are not returned.
--
-- KEYS[1] the stream  KEYS[2] its ledger, a hash
-- ARGV[1] the group  ARGV[2] up to which id entries are counted  ARGV[3] '1' to raise the ledger's revision afterwards
-- Returns {entries ever added, entries, the last id, the first entry's id or '', {ledger's field, value, …}, {{consumer,
-- pending, idle ms}, …}, seconds, µs of Redis's clock, how many entries up to that id, whether the revision was raised}.
local stream, ledger, group = KEYS[1], KEYS[2], ARGV[1]

local function by_name(reply)
  local found = {}
  for i = 1, #reply, 2 do
    found[reply[i]] = reply[i + 1]
  end
  return found
end

local function remaining()
  local count, from = 0, '-'
  repeat
    local entries = redis.call('XRANGE', stream, from, ARGV[2], 'COUNT', 100)
    count = count + #entries
    from = #entries > 0 and '(' .. entries[#entries][1]
  until not from
  return count
end

local info, consumers = {['entries-added'] = 0, length = 0, ['last-generated-id'] = '0-0'}, {}
if redis.call('EXISTS', stream) == 1 then
  local reply = redis.pcall('XINFO', 'STREAM', stream)
  if reply.err then
    return redis.error_reply(stream .. ': ' .. reply.err)
  end
  info = by_name(reply)
  if not info['entries-added'] then
    return redis.error_reply('ERR Redis 7.0 or newer is needed')
  end
  reply = redis.pcall('XINFO', 'CONSUMERS', stream, group)
  for i = 1, #reply do -- none where there is no group yet
    local consumer = by_name(reply[i])
    consumers[i] = {consumer.name, consumer.pending, consumer.idle}
  end
end
local fields = redis.pcall('HGETALL', ledger)
if fields.err then
  return redis.error_reply(ledger .. ': ' .. fields.err)
end
local first, now = info['first-entry'], redis.call('TIME')
local counted = ARGV[3] == '1' and redis.acl_check_cmd('HINCRBY', ledger, 'revision', 1) -- not of a read-only user
if counted then
  local ledger_fields = by_name(fields)
  local before = not ledger_fields.revision and ledger_fields.looks or 0 -- the name in the version before
  redis.call('HINCRBY', ledger, 'revision', before + 1)
end
return {
  info['entries-added'], info.length, info['last-generated-id'], first and first[1] or '', fields, consumers,
  tonumber(now[1]), tonumber(now[2]), remaining(), counted and 1 or 0
}
