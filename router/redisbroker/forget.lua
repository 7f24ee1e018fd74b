-- Channels that an incarnation has nobody in any more. One that it came to since is not
-- forgotten.
--
-- KEYS  1 sorted set: its channels, by the time of the last coming
-- ARGV  1 that time must not be after this  2... channels
-- out   how many were forgotten
local gone = 0
for i = 2, #ARGV do
  local came = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if came and tonumber(came) <= tonumber(ARGV[1]) then
    gone = gone + redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return gone
