#!lua flags=allow-oom
-- Makes a stream's group, and the stream if it doesn't exist, also while Redis is at maxmemory: only a writer can make room.
-- From 0, so that nothing is skipped. A group that exists is left as it is.
--
-- KEYS[1] the stream
-- ARGV[1] the group
local reply = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if reply.err and not string.find(reply.err, 'BUSYGROUP', 1, true) then
  return reply
end
return 1
