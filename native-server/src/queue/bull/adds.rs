//! New jobs that come at once are added in one step of Redis.
//!
//! BullMQ's own command adds one job with ten commands of Redis'; [`ADD`] takes four for each and
//! five for all. What it leaves is what BullMQ's `addPrioritizedJob` does. Delayed jobs, those of
//! other workers and those of batches are added by BullMQ's own.

use std::sync::{Arc, LazyLock};

use redis::Script;

use super::link::Link;
use crate::{gather::Together, queue::types::QueueError};

/// Adds jobs with priorities, in their order. A job that is there already is left as it is.
/// Keys: the beginning of the queue's. Arguments: six for each job: its id, name, data, options,
/// time and priority.
const ADD: &str = r"
local base = KEYS[1]
local events = base .. ':events'
local meta = redis.call('HMGET', base .. ':meta', 'paused', 'concurrency', 'opts.maxLenEvents')
local most = meta[3] or '10000'
redis.call('INCRBY', base .. ':id', #ARGV / 6)
local count = redis.call('INCRBY', base .. ':pc', #ARGV / 6) - #ARGV / 6
local scores = {}
for i = 1, #ARGV, 6 do
  local id, name = ARGV[i], ARGV[i + 1]
  local key = base .. ':' .. id
  if redis.call('EXISTS', key) == 1 then
    redis.call('XADD', events, 'MAXLEN', '~', most, '*', 'event', 'duplicated', 'jobId', id)
  else
    redis.call('HSET', key, 'name', name, 'data', ARGV[i + 2], 'opts', ARGV[i + 3],
      'timestamp', ARGV[i + 4], 'delay', '0', 'priority', ARGV[i + 5])
    redis.call('XADD', events, '*', 'event', 'added', 'jobId', id, 'name', name)
    redis.call('XADD', events, 'MAXLEN', '~', most, '*', 'event', 'waiting', 'jobId', id)
    count = count + 1
    scores[#scores + 1] = ARGV[i + 5] * 0x100000000 + count % 0x100000000
    scores[#scores + 1] = id
  end
end
if #scores > 0 then
  redis.call('ZADD', base .. ':prioritized', unpack(scores))
  local full = meta[2] and redis.call('LLEN', base .. ':active') >= tonumber(meta[2])
  if not meta[1] and not full then redis.call('ZADD', base .. ':marker', 0, '0') end
end
return #scores / 2
";

static STEP: LazyLock<Script> = LazyLock::new(|| Script::new(ADD));

/// A job as it stands in Redis.
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) name: String,
    /// JSON.
    pub(super) data: String,
    /// BullMQ's, as JSON.
    pub(super) options: String,
    /// When it was submitted, ms.
    pub(super) created: u64,
    /// BullMQ's: lower runs first.
    pub(super) priority: u32,
}

/// Adds to one queue.
pub(super) struct Adds {
    link: Arc<Link>,
    base: String,
}

impl Adds {
    /// To the queue whose keys begin with `base`.
    pub(super) fn new(link: Arc<Link>, base: String) -> Self {
        Self { link, base }
    }
}

impl Together for Adds {
    type Question = Entry;
    /// An error comes never later than the hard timeout.
    type Answer = Result<(), QueueError>;
    const MAX: usize = 64;
    const BYTES_MAX: usize = 256 << 10;

    fn bytes(job: &Entry) -> usize {
        job.data.len()
    }

    async fn ask(&self, jobs: Vec<Entry>) -> Vec<Self::Answer> {
        let mut step = STEP.prepare_invoke();
        step.key(&self.base);
        for job in &jobs {
            step.arg(&job.id).arg(&job.name).arg(&job.data);
            step.arg(&job.options).arg(job.created).arg(job.priority);
        }
        let added = self.link.ask(|conn| async move {
            let mut connection = conn.redis().connection();
            Ok(step.invoke_async::<u64>(&mut connection).await?)
        });
        vec![added.await.map(drop); jobs.len()]
    }
}
