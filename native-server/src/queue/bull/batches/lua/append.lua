-- ARGV: payload, items, the limits of chunks in a batch, of chunks and of bytes.
local status = call('HGET', book, 'status')
if not status or status == 'writing' then return {-1} end
if ended(status) or num('sealed') == 1 then return {-2} end
local chunk, bytes = num('chunks'), #ARGV[3]
if chunk >= tonumber(ARGV[5]) then return {-3} end
local live = call('HMGET', counts, 'chunks_live', 'bytes_live')
if tonumber(live[1] or 0) >= tonumber(ARGV[6]) then return {-4} end
if tonumber(live[2] or 0) + bytes > tonumber(ARGV[7]) then return {-5} end
call('HSET', book .. ':in', chunk, ARGV[3], 'n' .. chunk, ARGV[4])
add('chunks', 1)
add('items', ARGV[4])
add('bytes', bytes)
count('chunks', 1)
count('chunks_live', 1)
count('bytes_live', bytes)
-- As many chunks are in line or at work as may be at once; the others wait here.
if num('released') - num('completed') - num('failed') >= num('width') then return {chunk, 0} end
add('released', 1)
return {chunk, 1}
