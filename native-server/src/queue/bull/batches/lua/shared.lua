-- Keys of batches. KEYS: the books' prefix (`<prefix>:b:`), the stream of events and the settings of
-- the queue `batches`. ARGV: the batch, the time in milliseconds, then what the script takes.
--   <id>       hash: the book, and what to run
--   <id>:in    hash: the chunks that have not ended, and the items of each (`n<chunk>`)
--   <id>:out   hash: the results; of failed chunks why (`e<chunk>`)
--   <id>:err   list: the first errors, in order, as `<chunk>:<error>`
--   <id>:next  hash: which chunk was released when this one ended
--   .counts    hash: the counters of all batches
--   .all, .ended, .deadlines, .open   sorted sets of batches by time
local call = redis.call
local base, events = KEYS[1], KEYS[2]
local id, now = ARGV[1], tonumber(ARGV[2])
local book = base .. id
local counts = base .. '.counts'

local function num(field)
  return tonumber(call('HGET', book, field) or 0)
end

local function add(field, by)
  return call('HINCRBY', book, field, by)
end

local function count(field, by)
  if by ~= 0 then call('HINCRBY', counts, field, by) end
end

-- BullMQ's stream: npm's QueueEvents hands unknown names on as they are.
local function tell(name, ...)
  local kept = call('HGET', KEYS[3], 'opts.maxLenEvents') or 10000
  call('XADD', events, 'MAXLEN', '~', kept, '*', 'event', name, 'jobId', id, 'at', now, ...)
end

local function ended(status)
  return status == 'completed' or status == 'failed' or status == 'cancelled'
end

-- Makes a batch that was written visible.
local function publish()
  call('HSET', book, 'status', 'queued')
  call('PERSIST', book)
  call('PERSIST', book .. ':in')
  local created = call('HGET', book, 'created')
  call('ZADD', base .. '.all', created, id)
  call('ZADD', base .. '.deadlines', call('HGET', book, 'deadline'), id)
  count('total', 1)
  count('active', 1)
  count('chunks', num('chunks'))
  count('chunks_live', num('chunks'))
  count('bytes_live', num('bytes'))
  tell('batchQueued')
end
