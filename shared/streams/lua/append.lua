-- Appends a batch of messages to a stream when there is room for all of it, and nothing otherwise.
-- With room there is nothing to trim, so MAXLEN can never take an entry that no writer has settled.
--
-- KEYS[1] the stream
-- ARGV[1] its cap in entries  ARGV[2] a field that some of the messages have, 'retained' or 'replayed'  ARGV[3] how many
-- have it; then the index of each of these, from 1; then topic, payload, received_at (ms since the epoch) of each message
-- Returns {entries appended: all or 0, entries in the stream now}.
local stream, cap, mark = KEYS[1], ARGV[1], ARGV[2]
local first = 4 + tonumber(ARGV[3])
local messages = (#ARGV - first + 1) / 3
local length = redis.call('XLEN', stream)
if length + messages > tonumber(cap) then
  return {0, length}
end
local is_marked = {}
for i = 4, first - 1 do
  is_marked[first + 3 * (tonumber(ARGV[i]) - 1)] = true
end
for i = first, #ARGV, 3 do
  if is_marked[i] then
    redis.call('XADD', stream, 'MAXLEN', cap, '*',
      'topic', ARGV[i], 'payload', ARGV[i + 1], 'received_at', ARGV[i + 2], mark, '1')
  else
    redis.call('XADD', stream, 'MAXLEN', cap, '*',
      'topic', ARGV[i], 'payload', ARGV[i + 1], 'received_at', ARGV[i + 2])
  end
end
return {messages, length + messages}
