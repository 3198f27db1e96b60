-- Reads a consumer's own pending entries again, without raising their delivery count. One that failed before is
-- left until it was idle for as long as claim.lua asks: its tries stay that far apart, however often this is called.
--
-- KEYS[1] the stream
-- ARGV[1] the group  ARGV[2] the consumer  ARGV[3] the first id, or '(' and the last one seen  ARGV[4] how many
-- ARGV[5] idle ms
-- Returns {the last id seen, '' at the end, {{id, deliveries, {field, value, …}}, …}}.
local stream, group = KEYS[1], ARGV[1]
local idle_ms = tonumber(ARGV[5])
local last, entries = '', {}
for _, pending in ipairs(redis.call('XPENDING', stream, group, ARGV[3], '+', ARGV[4], ARGV[2])) do
  local entry = redis.call('XRANGE', stream, pending[1], pending[1])[1]
  last = pending[1]
  if entry and (pending[4] <= 1 or pending[3] >= idle_ms) then
    entries[#entries + 1] = {pending[1], pending[4], entry[2]}
  elseif not entry then
    redis.call('XACK', stream, group, pending[1])
  end
end
return {last, entries}
