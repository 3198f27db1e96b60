-- Claims entries that have been idle for too long, whoever held them, without raising their delivery count:
-- a restart or a claim says nothing against an entry.
--
-- KEYS[1] the stream
-- ARGV[1] the group  ARGV[2] the claiming consumer  ARGV[3] idle ms  ARGV[4] the cursor  ARGV[5] how many
-- Returns {next cursor, {{id, deliveries, {field, value, …}}, …}}.
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local claimed = redis.call('XAUTOCLAIM', stream, group, consumer, ARGV[3], ARGV[4], 'COUNT', ARGV[5], 'JUSTID')
local entries = {}
for _, id in ipairs(claimed[2]) do
  local entry = redis.call('XRANGE', stream, id, id)[1]
  if entry then
    entries[#entries + 1] = {id, redis.call('XPENDING', stream, group, id, id, 1)[1][4], entry[2]}
  else -- somebody removed it from the stream: there is nothing left to store
    redis.call('XACK', stream, group, id)
  end
end
return {claimed[1], entries}
