-- Events of one channel, in their order: each gets its number, is kept as the rule
-- says, and is published. One that was published before under the same idempotency key
-- is not published again.
--
-- KEYS  1 head  2 stream  3 cache  4... one for each event: where its idempotency key is kept
-- ARGV  1 an epoch that nobody had
--       2 events that the stream keeps; 0: the events have no number
--       3 bytes of envelopes that the stream keeps
--       4 ms that the stream is kept after its last event
--       5 ms that the head is kept
--       6 ms that the last event of a cache channel is kept
--       7 ms that an idempotency key is kept
--       8 PUBLISH or SPUBLISH
--       9 the pub/sub channel
--       10 a digit for each event: 1 it becomes the last event, 2 it has a key, 3 both
--       11... one for each event: the envelope
-- out   one for each event: {duplicate, epoch, start, seq}
local events, keep, out = #ARGV - 10, ARGV[2] ~= '0', {}

local function digit(i)
  return string.byte(ARGV[10], i) - 48
end

-- first is the event of this call that has a key before others, same those behind it.
local new, bytes, first, same = 0, 0, {}, {}
for i = 1, events do
  local key = digit(i) >= 2 and KEYS[3 + i]
  local former = key and redis.call('GET', key)
  if former then
    local q, s, e = string.match(former, '^(%d+):(%d+):(%w*):$')
    out[i] = {1, e, tonumber(s), tonumber(q)}
  elseif key and first[key] then
    same[i] = first[key]
  else
    if key then
      first[key] = i
    end
    new, bytes = new + 1, bytes + #ARGV[10 + i]
  end
end
if new == 0 then
  return out
end

local function text(n)
  return string.format('%.0f', n)
end
-- The head: total is the bytes of all envelopes that the stream ever had, base those in
-- front of the first one that it keeps, or fewer.
local epoch, start, seq, id, total, base = '', 0, 0, '', 0, 0
local function store(q, t)
  redis.call('HSET', KEYS[1], 'e', epoch, 's', text(start), 'q', text(q), 'r', id, 't', text(t), 'b', text(base))
end

if keep then
  local h = redis.call('HMGET', KEYS[1], 'e', 's', 'q', 'r', 't', 'b')
  id = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  epoch, start, seq = h[1], tonumber(h[2] or 0), tonumber(h[3] or 0)
  total, base = tonumber(h[5] or 0), tonumber(h[6] or 0)
  if not epoch and redis.call('EXISTS', KEYS[2]) == 1 then
    redis.call('DEL', KEYS[2]) -- not for nothing: behind a first write a full Redis takes any other
  end
  if not epoch or h[4] ~= id then
    epoch, start = ARGV[1], seq
  end
  -- The head moves first: should a command below fail, numbers are missing in the
  -- stream, which a recovery sees, and none is given twice.
  store(seq + new, total + bytes)
end

-- All is written before any of it is published: what a full Redis refuses reaches nobody.
local messages = {}
for i = 1, events do
  if same[i] then
    local former = out[same[i]]
    out[i] = {1, former[2], former[3], former[4]}
  elseif not out[i] then
    local envelope, at = ARGV[10 + i], '0:0::'
    if keep then
      seq, total, new = seq + 1, total + #envelope, new - 1
      at = text(seq) .. ':' .. text(start) .. ':' .. epoch .. ':'
      local added = redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], text(seq) .. '-0', 'b', at .. envelope, 't', text(total))
      if type(added) == 'table' and added.err then
        -- The stream is of another life than the head: neither continues.
        redis.call('DEL', KEYS[2])
        epoch, start = ARGV[1], seq - 1
        store(seq + new, total)
        at = text(seq) .. ':' .. text(start) .. ':' .. epoch .. ':'
        redis.call('XADD', KEYS[2], text(seq) .. '-0', 'b', at .. envelope, 't', text(total))
      end
    end
    if digit(i) % 2 == 1 then
      redis.call('SET', KEYS[3], at .. envelope, 'PX', ARGV[6])
    end
    if digit(i) >= 2 then
      redis.call('SET', KEYS[3 + i], at, 'PX', ARGV[7])
    end
    messages[#messages + 1] = at .. envelope
    out[i] = {0, epoch, start, seq}
  end
end
for _, message in ipairs(messages) do
  redis.call(ARGV[8], ARGV[9], message)
end

if keep then
  local most = tonumber(ARGV[3])
  if total - base > most then
    local over
    repeat
      local some = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 16)
      over = nil
      for i = 1, #some do
        local value, after = some[i][2][2], tonumber(some[i][2][4])
        local _, prefix = string.find(value, '^%d+:%d+:%w*:')
        base = after - (#value - prefix) -- MAXLEN may have moved it
        if total - base <= most then
          break
        end
        base, over = after, tonumber(string.match(some[i][1], '^%d+'))
      end
      if over then
        redis.call('XTRIM', KEYS[2], 'MINID', text(over + 1))
      end
    until not over
    redis.call('HSET', KEYS[1], 'b', text(base))
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
return out
