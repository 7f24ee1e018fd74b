-- Prolongs a lease that has not ended.
--
-- KEYS  1 the lease
-- ARGV  1 ms that it lives
-- out   the time by Redis' clock, in ms; 0: it had ended
if not redis.call('SET', KEYS[1], '1', 'XX', 'PX', ARGV[1]) then
  return 0
end
local now = redis.call('TIME')
return now[1] * 1000 + math.floor(now[2] / 1000)
