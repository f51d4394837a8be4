-- ARGV: the chunk, its items, whether it completed, its result or why it failed, errors kept, how
-- long it ran. Who comes first counts: what a second worker finds is the same, and thrown away.
-- Gives whether it was entered, the chunk to release next or -1, and items completed so far.
local status = call('HGET', book, 'status')
if not status or ended(status) then return {0, -1, 0} end
local chunk, items, ok = ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local out = book .. ':out'
if call('HEXISTS', out, chunk) == 1 or call('HEXISTS', out, 'e' .. chunk) == 1 then
  local next = call('HGET', book .. ':next', chunk) or -1
  if call('HEXISTS', out, next) == 1 or call('HEXISTS', out, 'e' .. next) == 1 then next = -1 end
  return {2, next, num('done')}
end
local bytes = call('HSTRLEN', book .. ':in', chunk)
call('HDEL', book .. ':in', chunk, 'n' .. chunk)
add('bytes', -bytes)
count('chunks_live', -1)
count('bytes_live', -bytes)
if ok then
  call('HSET', out, chunk, ARGV[6])
  add('completed', 1)
  add('done', items)
  add('result_bytes', #ARGV[6])
  count('items', items)
  count('chunks_completed', 1)
  count('chunks_ms', ARGV[8])
else
  call('HSET', out, 'e' .. chunk, ARGV[6])
  add('failed', 1)
  count('chunks_failed', 1)
  if call('LLEN', book .. ':err') < tonumber(ARGV[7]) then
    call('RPUSH', book .. ':err', chunk .. ':' .. ARGV[6])
  end
end
local next, finished, total = -1, num('completed') + num('failed'), num('chunks')
local released = num('released')
if released < total and released - finished < num('width') then
  next = released
  add('released', 1)
  call('HSET', book .. ':next', chunk, next)
end
tell('batchProgress', 'ended', finished, 'chunks', total, 'sealed', num('sealed'),
  'processedItems', num('done'))
return {1, next, num('done')}
