-- A user comes to a presence channel on one node.
--
-- KEYS  1 hash: who is there, by user  2 its version  3 set: incarnations that have somebody there
--       4 set: whom this incarnation has there
-- ARGV  1 user  2 envelope that says so  3 incarnation  4 users that may be there
--       5 PUBLISH or SPUBLISH  6 the pub/sub channel
--       7 the time by Redis' clock, in ms, at which the incarnation's lease ends: what comes
--         later, out of some queue, would stay for ever
-- out   the version; -1: too many are there; -2: too late
local now = redis.call('TIME')
if now[1] * 1000 + now[2] / 1000 > tonumber(ARGV[7]) then
  return -2
end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
    return -1
  end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('PERSIST', KEYS[2])
  local version = string.format('%.0f', redis.call('INCR', KEYS[2]))
  redis.call(ARGV[5], ARGV[6], version .. ':0:p:' .. ARGV[2])
end
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('SADD', KEYS[3], ARGV[3])
return tonumber(redis.call('GET', KEYS[2]) or 0)
