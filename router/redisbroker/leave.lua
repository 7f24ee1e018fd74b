-- Users leave a presence channel on one node, or the node has gone with them. Whoever no
-- other incarnation has is gone: it is told by the one call that removed it.
--
-- KEYS  1 hash: who is there, by user  2 its version  3 set: incarnations that have somebody there
--       4 set: whom this incarnation has there
-- ARGV  1 incarnation  2 what the names of sets like 4 begin with  3 PUBLISH or SPUBLISH
--       4 the pub/sub channel  5 ms that the version is kept when nobody is there
--       6, 7... a user, and the envelope that says that it has gone
-- out   how many are gone
local gone = 0
local function elsewhere(user)
  for _, other in ipairs(redis.call('SMEMBERS', KEYS[3])) do
    if redis.call('SISMEMBER', ARGV[2] .. other, user) == 1 then
      return true
    end
  end
  return false
end
for i = 6, #ARGV, 2 do
  if redis.call('SREM', KEYS[4], ARGV[i]) == 1 then
    if redis.call('EXISTS', KEYS[4]) == 0 then
      redis.call('SREM', KEYS[3], ARGV[1])
    end
    if not elsewhere(ARGV[i]) and redis.call('HDEL', KEYS[1], ARGV[i]) == 1 then
      local version = string.format('%.0f', redis.call('INCR', KEYS[2]))
      redis.call(ARGV[3], ARGV[4], version .. ':0:p:' .. ARGV[i + 1])
      gone = gone + 1
    end
  end
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
else
  redis.call('PERSIST', KEYS[2])
end
return gone
