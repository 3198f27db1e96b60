#!lua flags=allow-oom
-- Stores the heartbeat of a receiver or a writer with the time of Redis's own clock. When it is a new one, those are
-- removed whose last heartbeat is too long ago, and beyond a maximum of names those with the oldest. A receiver's is
-- never too long ago: the session of one that is gone may hold messages.
--
-- KEYS[1] the receivers or the writers, a hash
-- ARGV[1] its name  ARGV[2] its state, a JSON object  ARGV[3] how many names are kept at most
-- ARGV[4] for how many ms after the last heartbeat, 0: for ever
-- Returns 1 if that name is new, else 0.
local key, now = KEYS[1], redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local is_new = redis.call('HSET', key, ARGV[1], string.format('{"at":%.0f,', now_ms) .. string.sub(ARGV[2], 2))
if is_new == 0 then
  return 0
end
local fields, others = redis.call('HGETALL', key), {}
for i = 1, #fields, 2 do
  if fields[i] ~= ARGV[1] then
    others[#others + 1] = {name = fields[i], at = tonumber(string.match(fields[i + 1], '^{"at":(%d+)')) or 0}
  end
end
table.sort(others, function(a, b) return a.at < b.at end)
local surplus, kept_ms = #others + 1 - tonumber(ARGV[3]), tonumber(ARGV[4])
for i = 1, #others do
  if i <= surplus or (kept_ms > 0 and others[i].at < now_ms - kept_ms) then
    redis.call('HDEL', key, others[i].name)
  end
end
return 1
