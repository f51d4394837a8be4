-- ARGV: the chunk, the key of its job, whether what to run is known.
-- Gives what to run, or what another worker found, or that all is over.
local status = call('HGET', book, 'status')
if not status or ended(status) then return {0} end
local chunk = ARGV[3]
local out = book .. ':out'
if call('HEXISTS', out, chunk) == 1 or call('HEXISTS', out, 'e' .. chunk) == 1 then
  local next = call('HGET', book .. ':next', chunk) or -1
  return {2, next, call('HGET', out, 'e' .. chunk) or '', call('HGET', book, 'options')}
end
if status == 'writing' then publish() end
if status ~= 'running' then
  local deadline = now + num('timeout')
  call('HSET', book, 'status', 'running', 'started', now, 'deadline', deadline)
  call('ZADD', base .. '.deadlines', deadline, id)
  tell('batchStarted')
end
local payload = call('HMGET', book .. ':in', chunk, 'n' .. chunk)
local what = ARGV[5] == '1' and {} or call('HMGET', book, 'options', 'params')
return {1, payload[1], payload[2], call('HGET', book, 'deadline'),
  call('HGET', ARGV[4], 'stc') or 0, what[1] or '', what[2] or ''}
