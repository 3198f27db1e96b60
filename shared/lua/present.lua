#!lua flags=allow-oom
-- A receiver says that it is there, with the time of Redis's own clock. Who was silent for long is forgotten.
--
-- KEYS[1] the receivers, a hash
-- ARGV[1] its client id  ARGV[2] what it says of itself, a JSON object  ARGV[3] after how many ms one is forgotten
local receivers, now = KEYS[1], redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local fields = redis.call('HGETALL', receivers)
for i = 1, #fields, 2 do
  local at = string.match(fields[i + 1], '^{"at":(%d+)')
  if not at or now_ms - at > tonumber(ARGV[3]) then
    redis.call('HDEL', receivers, fields[i])
  end
end
redis.call('HSET', receivers, ARGV[1], string.format('{"at":%.0f,', now_ms) .. string.sub(ARGV[2], 2))
