//! Commands of our own on BullMQ's keys, each one step: what BullMQ has no command for.
//!
//! They rely on the layout that BullMQ 5 documents and its clients in other languages share:
//! `wait` and `active` are lists, `prioritized`, `delayed`, `completed` and `failed` sorted sets,
//! `<id>` is a hash and `<id>:lock` the token of its worker, `events` a stream. Fields that begin
//! with `sommos` are ours; others pass over them.

use redis::{FromRedisValue, Script};

use super::link::Conn;

/// Where a job is and what is known of it: `{queue, state, when, place, fields...}`, or nothing.
/// Keys: the queues in which it may be. Arguments: its id, then the fields.
pub(super) const VIEW: &str = r"
local id = ARGV[1]
for i, base in ipairs(KEYS) do
  local key = base .. ':' .. id
  if redis.call('EXISTS', key) == 1 then
    local state, at, place = 'unknown', false, false
    if redis.call('ZSCORE', base .. ':completed', id) then state = 'completed'
    elseif redis.call('ZSCORE', base .. ':failed', id) then state = 'failed'
    else
      at = redis.call('ZSCORE', base .. ':delayed', id)
      local rank = redis.call('ZRANK', base .. ':prioritized', id)
      if at then state = 'delayed'
      elseif rank then
        state = 'waiting'
        place = rank + redis.call('LLEN', base .. ':wait')
      elseif redis.call('EXISTS', key .. ':lock') == 1
          or redis.call('LPOS', base .. ':active', id) then state = 'active'
      else
        state = 'waiting'
        local index = redis.call('LPOS', base .. ':wait', id, 'RANK', -1, 'MAXLEN', 10000)
        if index then place = redis.call('LLEN', base .. ':wait') - 1 - index end
      end
    end
    local fields = redis.call('HMGET', key, unpack(ARGV, 2))
    return {i, state, at, place, fields}
  end
end
return false
";

/// Cancels a job wherever it is: `missing`, the state in which it had ended, or the one in which
/// it was. It ends among the failed ones, marked as ours; its worker's token is void from then on.
/// Keys: the queues in which it may be. Arguments: its id, the time, the reason.
pub(super) const CANCEL: &str = r"
local id = ARGV[1]
for i, base in ipairs(KEYS) do
  local key = base .. ':' .. id
  if redis.call('EXISTS', key) == 1 then
    if redis.call('ZSCORE', base .. ':completed', id) then return {i, 'completed'} end
    if redis.call('ZSCORE', base .. ':failed', id) then
      if redis.call('HEXISTS', key, 'sommosCancelled') == 1 then return {i, 'cancelled'} end
      return {i, 'failed'}
    end
    local was
    if redis.call('ZREM', base .. ':prioritized', id) == 1 then was = 'waiting'
    elseif redis.call('ZREM', base .. ':delayed', id) == 1 then was = 'delayed'
    elseif redis.call('LREM', base .. ':active', 1, id) == 1 then was = 'active'
    elseif redis.call('LREM', base .. ':wait', 1, id) == 1 then was = 'waiting'
    else return {i, 'unknown'} end
    redis.call('DEL', key .. ':lock')
    redis.call('SREM', base .. ':stalled', id)
    redis.call('HDEL', key, 'defa')
    redis.call('HSET', key, 'finishedOn', ARGV[2], 'failedReason', ARGV[3], 'sommosCancelled', '1')
    redis.call('ZADD', base .. ':failed', ARGV[2], id)
    redis.call('HINCRBY', base .. ':sommos', 'cancelled', 1)
    redis.call('XADD', base .. ':events', '*', 'event', 'failed', 'jobId', id,
      'failedReason', ARGV[3], 'prev', was, 'sommosCancelled', '1')
    return {i, 'was ' .. was}
  end
end
return {0, 'missing'}
";

/// Writes on a job and announces it if this worker still has it; gives whether it has.
/// Keys: the job, the stream of events, the counters. Arguments: the token, the counter to raise
/// or nothing, how many arguments the fields are, the fields, the event.
pub(super) const NOTE: &str = r"
if redis.call('GET', KEYS[1] .. ':lock') ~= ARGV[1] then return 0 end
local n = tonumber(ARGV[3])
if ARGV[2] ~= '' then redis.call('HINCRBY', KEYS[3], ARGV[2], 1) end
if n > 0 then redis.call('HSET', KEYS[1], unpack(ARGV, 4, 3 + n)) end
if #ARGV > 3 + n then redis.call('XADD', KEYS[2], '*', unpack(ARGV, 4 + n)) end
return 1
";

/// Stores a result beside its job if this worker still has it; gives whether it has.
/// Keys: the job. Arguments: the token, the result, milliseconds to keep it.
pub(super) const KEEP: &str = r"
if redis.call('GET', KEYS[1] .. ':lock') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1] .. ':result', ARGV[2], 'PX', ARGV[3])
return 1
";

/// The result of a completed job: `{bytes beside it, return value}`, or nothing.
/// Keys: the queues in which it may be. Arguments: its id.
pub(super) const RESULT: &str = r"
for i, base in ipairs(KEYS) do
  local key = base .. ':' .. ARGV[1]
  if redis.call('EXISTS', key) == 1 then
    return {redis.call('GET', key .. ':result'), redis.call('HGET', key, 'returnvalue')}
  end
end
return false
";

/// Takes an idempotency key: `{id, 0}` when it is ours now, `{id, 1}` when another's job has it,
/// `{id, 2}` when another's submission took it and its job is not (yet) there.
/// Keys: the key, then the queues in which its job may be. Arguments: our id, milliseconds to keep
/// the key, the oldest end of a job that is still kept.
pub(super) const CLAIM: &str = r"
local known = redis.call('GET', KEYS[1])
if known then
  local mark, id = string.sub(known, 1, 1), string.sub(known, 2)
  for i = 2, #KEYS do
    local key = KEYS[i] .. ':' .. id
    if redis.call('EXISTS', key) == 1 then
      local ended = redis.call('HGET', key, 'finishedOn')
      if not ended or tonumber(ended) >= tonumber(ARGV[3]) then return {id, 1} end
      mark = '+'
    end
  end
  if mark == '?' then return {id, 2} end
end
redis.call('SET', KEYS[1], '?' .. ARGV[1], 'PX', ARGV[2])
return {ARGV[1], 0}
";

/// How long the last 100 completed jobs ran, milliseconds, oldest first. Keys: the queue.
pub(super) const TIMES: &str = r"
local times = {}
local ids = redis.call('ZREVRANGE', KEYS[1] .. ':completed', 0, 99)
for i = #ids, 1, -1 do
  local at = redis.call('HMGET', KEYS[1] .. ':' .. ids[i], 'processedOn', 'finishedOn')
  if at[1] and at[2] then times[#times + 1] = math.max(0, at[2] - at[1]) end
end
return times
";

/// Puts a failed job back in line as it was at first, but for its last error; gives whether it had
/// failed. BullMQ's own command does the rest. Keys: the queue. Arguments: the id.
pub(super) const REVIVE: &str = r"
local key = KEYS[1] .. ':' .. ARGV[1]
if not redis.call('ZSCORE', KEYS[1] .. ':failed', ARGV[1]) then return 0 end
local why = redis.call('HGET', key, 'failedReason')
if why then redis.call('HSETNX', key, 'sommosError', why) end
redis.call('HDEL', key, 'defa', 'stc', 'progress')
redis.call('HINCRBY', KEYS[1] .. ':sommos', 'revived', 1)
return 1
";

/// Runs a script of this module.
///
/// # Errors
/// BullMQ's error for what Redis says.
pub(super) async fn run<T: FromRedisValue>(
    conn: &Conn,
    script: &str,
    keys: &[impl redis::ToRedisArgs],
    arguments: &[&[u8]],
) -> Result<T, bullmq::Error> {
    let script = Script::new(script);
    let mut invocation = script.prepare_invoke();
    for key in keys {
        invocation.key(key);
    }
    for argument in arguments {
        invocation.arg(*argument);
    }
    let mut connection = conn.redis().connection();
    Ok(invocation.invoke_async(&mut connection).await?)
}
