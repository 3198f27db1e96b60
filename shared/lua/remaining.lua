-- Counts the entries up to an id.
--
-- KEYS[1] the stream
-- ARGV[1] the id
local count, from = 0, '-'
repeat
  local entries = redis.call('XRANGE', KEYS[1], from, ARGV[1], 'COUNT', 100)
  count = count + #entries
  from = #entries > 0 and '(' .. entries[#entries][1]
until not from
return count
