-- Which of some commands this user's ACL refuses. Redis before 7 can't be asked: then none.
--
-- KEYS[1] a stream, which the user must be allowed to use at all
-- ARGV the commands, each with arguments as it would be run, words separated by spaces
-- Returns those that are refused.
local refused = {}
for _, command in ipairs(redis.acl_check_cmd and ARGV or {}) do
  local words = {}
  for word in string.gmatch(command, '%S+') do
    words[#words + 1] = word
  end
  if not redis.acl_check_cmd(unpack(words)) then
    refused[#refused + 1] = command
  end
end
return refused
