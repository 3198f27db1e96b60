-- Which of some commands this user's ACL denies.
--
-- KEYS[1] a stream, which the user must be allowed to use at all
-- ARGV the commands, each with arguments as it would be run, words separated by spaces
-- Returns those that are denied.
if not redis.acl_check_cmd then
  return redis.error_reply('ERR Redis 7.0 or newer is needed')
end
local denied = {}
for _, command in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(command, '%S+') do
    words[#words + 1] = word
  end
  if not redis.acl_check_cmd(unpack(words)) then
    denied[#denied + 1] = command
  end
end
return denied
