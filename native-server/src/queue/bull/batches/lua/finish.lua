-- ARGV: the last status, why it failed or '', how long ended batches are kept, ms, whether its
-- chunks bring it about. Gives 3 when more chunks might have come, 1 otherwise, less than 0 when
-- nothing is to be ended.
local status = call('HGET', book, 'status')
if not status or status == 'writing' then return -1 end
if ended(status) then return -2 end
local unsealed = num('sealed') == 0
local finished = num('completed') + num('failed')
local cancelled = num('chunks') - finished
if ARGV[6] == '0' and cancelled == 0 and not unsealed then return -2 end
call('HSET', book, 'status', ARGV[3], 'sealed', 1, 'ended', now, 'cancelled', cancelled)
if ARGV[4] ~= '' then call('HSET', book, 'error', ARGV[4]) end
local started = call('HGET', book, 'started')
count('active', -1)
count(ARGV[3], 1)
count('ended_ms', started and math.max(0, now - tonumber(started)) or 0)
count('chunks_live', -cancelled)
count('chunks_cancelled', cancelled)
count('bytes_live', -num('bytes'))
count('kept_bytes', num('result_bytes'))
call('ZREM', base .. '.deadlines', id)
call('ZADD', base .. '.ended', now, id)
call('UNLINK', book .. ':in', book .. ':next')
for _, part in ipairs({'', ':out', ':err'}) do
  -- Beyond the retention, in case no server is there to sweep it.
  call('PEXPIRE', book .. part, tonumber(ARGV[5]) + 3600000)
end
tell('batchEnded', 'status', ARGV[3])
return unsealed and 3 or 1
