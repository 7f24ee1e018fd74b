-- Prolongs a lease that has not ended, and does not end.
--
-- KEYS  1 the lease
-- ARGV  1 ms that it lives
-- out   the time by Redis' clock, in ms; 0: it had ended
if redis.call('GET', KEYS[1]) ~= '1' then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
local now = redis.call('TIME')
return now[1] * 1000 + math.floor(now[2] / 1000)
