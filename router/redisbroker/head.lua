-- Where channels stand. One without a head gets it: its position must not be given to
-- another life of the same channel later.
--
-- KEYS  1 head  2 stream, and so on for each channel
-- ARGV  1 ms that a head is kept  2... for each channel an epoch that nobody had
-- out   for each channel {epoch, start, seq}, or {what is wrong}
local id = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local out = {}
for i = 1, #ARGV - 1 do
  local head, stream = KEYS[2 * i - 1], KEYS[2 * i]
  local h = redis.call('HMGET', head, 'e', 's', 'q', 'r')
  local epoch, start, seq = h[1], tonumber(h[2] or 0), tonumber(h[3] or 0)
  if not epoch and redis.call('EXISTS', stream) == 1 then
    redis.call('DEL', stream)
  end
  out[i] = {epoch, start, seq}
  if not epoch or h[4] ~= id then
    epoch, start = ARGV[i + 1], seq
    local done = redis.pcall('HSET', head, 'e', epoch, 's', string.format('%.0f', start), 'q', string.format('%.0f', seq), 'r', id)
    out[i] = type(done) == 'table' and {done.err} or {epoch, start, seq}
  end
end
-- Behind all that a full Redis refuses: it takes anything behind a first write.
for i = 1, #KEYS, 2 do
  redis.pcall('PEXPIRE', KEYS[i], ARGV[1])
end
return out
