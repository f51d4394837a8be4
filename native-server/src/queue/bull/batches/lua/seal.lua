local status = call('HGET', book, 'status')
if not status or status == 'writing' then return -1 end
if ended(status) or num('sealed') == 1 then return -2 end
call('HSET', book, 'sealed', 1)
return 1
