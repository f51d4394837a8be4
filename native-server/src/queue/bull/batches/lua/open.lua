-- ARGV: options, parameters, longest time in ms, whether all chunks come with it, chunks, items, bytes,
-- chunks at work at once, the limits of batches, chunks and bytes, life of what is not visible yet
-- or of the promise to bring more, ms.
local chunks, items, bytes = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local live = call('HMGET', counts, 'active', 'chunks_live', 'bytes_live')
if tonumber(live[1] or 0) >= tonumber(ARGV[11]) then return {-1} end
if tonumber(live[2] or 0) + chunks > tonumber(ARGV[12]) then return {-2} end
if tonumber(live[3] or 0) + bytes > tonumber(ARGV[13]) then return {-3} end
local whole, life = ARGV[6] == '1', tonumber(ARGV[14])
call('HSET', book, 'status', 'writing', 'options', ARGV[3], 'params', ARGV[4], 'created', now,
  'timeout', ARGV[5], 'deadline', now + tonumber(ARGV[5]), 'sealed', whole and 1 or 0, 'chunks', chunks, 'items', items,
  'bytes', bytes, 'width', ARGV[10], 'released', math.min(chunks, tonumber(ARGV[10])))
if whole then
  call('PEXPIRE', book, life)
else
  publish()
  call('ZADD', base .. '.open', now + life, id)
end
return {1}
