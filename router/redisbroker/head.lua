-- Where a channel stands. A channel without a head gets one: its position must not be
-- given to another life of the same channel later.
--
-- KEYS  1 head  2 stream
-- ARGV  1 an epoch that nobody had  2 ms that the head is kept
-- out   {epoch, start, seq}
local h = redis.call('HMGET', KEYS[1], 'e', 's', 'q', 'r')
local id = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local epoch, start, seq = h[1], tonumber(h[2] or 0), tonumber(h[3] or 0)
if not epoch and redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('DEL', KEYS[2])
end
if not epoch or h[4] ~= id then
  epoch, start = ARGV[1], seq
  redis.call('HSET', KEYS[1], 'e', epoch, 's', string.format('%.0f', start), 'q', string.format('%.0f', seq), 'r', id)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {epoch, start, seq}
