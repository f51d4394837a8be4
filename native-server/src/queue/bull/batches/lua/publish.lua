-- Its flow is there. Its first chunk may have begun and done this already.
local status = call('HGET', book, 'status')
if not status then return 0 end
if status == 'writing' then publish() end
return 1
