-- Appends dead letters to a stream again when there is room for all of them, and nothing otherwise, as append.lua does.
--
-- KEYS[1] the stream
-- ARGV[1] how many entries it may hold; then topic, payload, received_at (ms since the epoch) of each message, and '1'
-- where that is when the message was first received, '' where it is now
-- Returns {entries appended: all or 0, entries in the stream now}.
local stream, cap = KEYS[1], ARGV[1]
local messages = (#ARGV - 1) / 4
local length = redis.call('XLEN', stream)
if length + messages > tonumber(cap) then
  return {0, length}
end
for i = 2, #ARGV, 4 do
  if ARGV[i + 3] == '1' then
    redis.call('XADD', stream, 'MAXLEN', cap, '*',
      'topic', ARGV[i], 'payload', ARGV[i + 1], 'received_at', ARGV[i + 2], 'replayed', '1')
  else
    redis.call('XADD', stream, 'MAXLEN', cap, '*',
      'topic', ARGV[i], 'payload', ARGV[i + 1], 'received_at', ARGV[i + 2])
  end
end
return {messages, length + messages}
