-- Reads a consumer's own pending entries again, without raising their delivery count.
--
-- KEYS[1] the stream
-- ARGV[1] the group  ARGV[2] the consumer  ARGV[3] the first id, or '(' and the last one seen  ARGV[4] how many
-- Returns {{id, deliveries, {field, value, …}}, …}.
local stream, group = KEYS[1], ARGV[1]
local entries = {}
for _, pending in ipairs(redis.call('XPENDING', stream, group, ARGV[3], '+', ARGV[4], ARGV[2])) do
  local entry = redis.call('XRANGE', stream, pending[1], pending[1])[1]
  if entry then
    entries[#entries + 1] = {pending[1], pending[4], entry[2]}
  else
    redis.call('XACK', stream, group, pending[1])
  end
end
return entries
