-- Deletes consumers that have nothing pending; deleting one that has would throw its pending entries away.
--
-- KEYS[1] the stream
-- ARGV[1] the group  ARGV[2] a consumer's name, or '' for all  ARGV[3] idle for at least so many ms
-- Returns how many were deleted.
local deleted = 0
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #info, 2 do
    consumer[info[i]] = info[i + 1]
  end
  local is_meant = ARGV[2] == '' or ARGV[2] == consumer.name
  if is_meant and consumer.pending == 0 and consumer.idle >= tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    deleted = deleted + 1
  end
end
return deleted
