-- Takes back what was never visible.
if call('HGET', book, 'status') == 'writing' then
  call('UNLINK', book, book .. ':in')
  return 1
end
return 0
