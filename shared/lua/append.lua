-- Appends a batch of messages to a stream when there is room for all of it, and nothing otherwise.
-- With room there is nothing to trim, so MAXLEN can never take an entry that no writer has settled.
--
-- KEYS[1] the stream
-- ARGV[1] its cap in entries; then topic, payload, received_at (ms since the epoch) of each message
-- Returns {entries appended: all or 0, entries in the stream now}.
local stream, cap = KEYS[1], ARGV[1]
local messages = (#ARGV - 1) / 3
local length = redis.call('XLEN', stream)
if length + messages > tonumber(cap) then
  return {0, length}
end
for i = 2, #ARGV, 3 do
  redis.call('XADD', stream, 'MAXLEN', cap, '*',
    'topic', ARGV[i], 'payload', ARGV[i + 1], 'received_at', ARGV[i + 2])
end
return {messages, length + messages}
