-- ARGV: the first chunk, how many, bytes. Gives the ended chunks in order, three of each: index,
-- whether it completed, data.
local from, limit, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local status = call('HGET', book, 'status')
if not status or status == 'writing' then return -1 end
local out, found, bytes = book .. ':out', {}, 0
local chunk, released = from, num('released')
while chunk < released and #found < 3 * limit do
  local ok, field = 1, tostring(chunk)
  if call('HEXISTS', out, field) == 0 then ok, field = 0, 'e' .. chunk end
  if ok == 1 or call('HEXISTS', out, field) == 1 then
    bytes = bytes + call('HSTRLEN', out, field)
    if #found > 0 and bytes > most then break end
    found[#found + 1] = chunk
    found[#found + 1] = ok
    found[#found + 1] = call('HGET', out, field)
  end
  chunk = chunk + 1
end
return found
