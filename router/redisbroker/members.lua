-- Who is in a presence channel.
--
-- KEYS  1 hash: who is there, by user  2 its version
-- out   {version, user, envelope, user, envelope...}
local out = redis.call('HGETALL', KEYS[1])
table.insert(out, 1, tonumber(redis.call('GET', KEYS[2]) or 0))
return out
