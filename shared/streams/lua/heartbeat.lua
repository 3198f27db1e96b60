#!lua flags=allow-oom
-- Stores a receiver's heartbeat with the time of Redis's own clock. No receiver is removed because its heartbeats stopped:
-- the session of one that is gone may hold messages. Only beyond a maximum of names is the one with the oldest removed.
--
-- KEYS[1] the receivers, a hash
-- ARGV[1] its client id  ARGV[2] its state, a JSON object  ARGV[3] how many names are kept at most
-- Returns 1 if that client id is new, else 0.
local receivers, now = KEYS[1], redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local is_new = redis.call('HSET', receivers, ARGV[1], string.format('{"at":%.0f,', now_ms) .. string.sub(ARGV[2], 2))
if is_new == 0 then
  return 0
end
local fields, others = redis.call('HGETALL', receivers), {}
for i = 1, #fields, 2 do
  if fields[i] ~= ARGV[1] then
    others[#others + 1] = {name = fields[i], at = tonumber(string.match(fields[i + 1], '^{"at":(%d+)')) or 0}
  end
end
table.sort(others, function(a, b) return a.at < b.at end)
for i = 1, #others + 1 - tonumber(ARGV[3]) do
  redis.call('HDEL', receivers, others[i].name)
end
return 1
