-- Renews a running writer's lease on its pending entries: sets their idle time back to zero, so that nobody claims
-- them however long the database takes. Entries that were claimed from it meanwhile stay where they are. One that another
-- client has trimmed is left alone: XCLAIM would take it from the pending entries, and settling it would not count.
--
-- KEYS[1] the stream
-- ARGV[1] the group  ARGV[2] the consumer; then the ids
-- Returns how many are still its own.
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local renewed = 0
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', stream, group, ARGV[i], ARGV[i], 1)[1]
  if pending and pending[2] == consumer and #redis.call('XRANGE', stream, ARGV[i], ARGV[i]) > 0 then
    redis.call('XCLAIM', stream, group, consumer, 0, ARGV[i], 'JUSTID')
    renewed = renewed + 1
  end
end
return renewed
