-- Counts a failed try against an entry and leaves it pending. Its idle time starts again from 0: that is the wait
-- before the next try.
--
-- KEYS[1] the stream
-- ARGV[1] the group  ARGV[2] the consumer; then id, deliveries so far of each
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
for i = 3, #ARGV, 2 do
  local pending = redis.call('XPENDING', stream, group, ARGV[i], ARGV[i], 1)[1]
  if pending and pending[2] == consumer then
    redis.call('XCLAIM', stream, group, consumer, 0, ARGV[i], 'RETRYCOUNT', ARGV[i + 1] + 1, 'JUSTID')
  end
end
