-- ARGV: age in ms, count, bytes, how many at most. Forgets ended batches, oldest first.
local age, most, bytes, steps = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local swept = 0
while swept < steps do
  local oldest = call('ZRANGE', base .. '.ended', 0, 0, 'WITHSCORES')
  if not oldest[1] then break end
  if now - tonumber(oldest[2]) <= age and call('ZCARD', base .. '.ended') <= most
    and tonumber(call('HGET', counts, 'kept_bytes') or 0) <= bytes then break end
  local old = base .. oldest[1]
  count('kept_bytes', -tonumber(call('HGET', old, 'result_bytes') or 0))
  call('UNLINK', old, old .. ':out', old .. ':err')
  call('ZREM', base .. '.ended', oldest[1])
  call('ZREM', base .. '.all', oldest[1])
  swept = swept + 1
end
return swept
