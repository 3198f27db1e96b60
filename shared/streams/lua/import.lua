-- Appends imported messages to a stream when there is room for all of them, and keeps in the same step how far the import
-- is. So none is appended twice, whatever is interrupted: where the one is lost, as in a failover, the other is, too.
--
-- KEYS[1] the stream  KEYS[2] its hash of imports
-- ARGV[1] the stream's cap in entries  ARGV[2] the import, a field of the hash  ARGV[3] the value that the field must have,
-- '' if it must not exist  ARGV[4] its value afterwards; then topic, payload, received_at (ms since the epoch), import_id of
-- each message, or nothing if only the value changes
-- Returns {entries appended: all or 0, or -1 if the field has another value; entries in the stream now}.
local stream, imports, cap = KEYS[1], KEYS[2], ARGV[1]
local messages = (#ARGV - 4) / 4
local length = redis.call('XLEN', stream)
if (redis.call('HGET', imports, ARGV[2]) or '') ~= ARGV[3] then
  return {-1, length}
end
if messages > 0 and length + messages > tonumber(cap) then
  return {0, length}
end
for i = 5, #ARGV, 4 do
  redis.call('XADD', stream, 'MAXLEN', cap, '*',
    'topic', ARGV[i], 'payload', ARGV[i + 1], 'received_at', ARGV[i + 2], 'replayed', '1', 'import_id', ARGV[i + 3])
end
redis.call('HSET', imports, ARGV[2], ARGV[4]) -- last: what is refused must not count as appended
return {messages, length + messages}
