//! How much there is, how much there was, and what is swept.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use sommos_core::jobs::{JobError, JobId, Kind, Metrics};

use super::{
    Bull,
    link::Conn,
    options::{JOBS, TASKS},
    scripts::{self, run},
};
use crate::queue::types::{PoolStats, QueueError, QueueMetrics};

/// Times of runs that are kept, count.
const TIMES: usize = 100;
/// Time between two counts of what waits and runs.
const COUNT: Duration = Duration::from_secs(1);
/// Counts between two sweeps.
const SWEEP_EVERY: u32 = 10;
/// Ended jobs forgotten in one command.
const SWEEP_PAGE: usize = 1000;
/// Pages of one sweep of upkeep, for each list.
const SWEEP_PAGES: usize = 10;
/// Submissions whose end is unknown, count.
const ORPHANS_MAX: usize = 10_000;
/// Below this limit, and above nine tenths of any, jobs are counted before each is added.
const EXACT: u64 = 1000;

/// What this server counts.
#[derive(Default)]
pub(super) struct Counts {
    /// What waited and ran, over all servers, when it was last counted.
    live: AtomicU64,
    /// What this server added since.
    added: AtomicU64,
    /// What this server ever added: the order within a millisecond.
    seq: AtomicU64,
}

impl Counts {
    pub(super) fn added(&self) {
        self.added.fetch_add(1, Relaxed);
    }

    /// A number for what is added, greater than all before it.
    pub(super) fn next_seq(&self) -> u64 {
        self.seq.fetch_add(1, Relaxed) + 1
    }
}

/// Jobs of submissions that were not answered: nobody knows their ids.
#[derive(Default)]
pub(super) struct Orphans(Mutex<Vec<JobId>>);

impl Orphans {
    pub(super) fn push(&self, id: JobId) {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() < ORPHANS_MAX {
            ids.push(id);
        }
    }

    fn take(&self) -> Vec<JobId> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Of one queue.
#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    total: u64,
    completed: u64,
    failed: u64,
    cancelled: u64,
    retried: u64,
    active: u64,
    queued: u64,
}

impl Bull {
    /// Whether a job more may wait. Near the limit all are counted; further away the last count
    /// and what this server added since tell, so servers that add at once may pass the limit by
    /// what the others add within a second, at most a tenth of it.
    pub(super) async fn check_room(&self) -> Result<(), QueueError> {
        let limit = self.config.scheduler.queued_max;
        let full = || Err(QueueError::Job(JobError::Full { limit }));
        let limit = limit as u64;
        let about = self.counts.live.load(Relaxed) + self.counts.added.load(Relaxed);
        if limit >= EXACT && about < limit / 10 * 9 {
            return Ok(());
        }
        match self.count().await? {
            live if live >= limit => full(),
            _ => Ok(()),
        }
    }

    /// Counts what waits and runs.
    async fn count(&self) -> Result<u64, QueueError> {
        let added = self.counts.added.load(Relaxed);
        let figures = self.figures(&self.work_queues()).await?;
        let live = figures.iter().map(|one| one.active + one.queued).sum();
        self.counts.live.store(live, Relaxed);
        self.counts.added.fetch_sub(added, Relaxed);
        Ok(live)
    }

    /// The queues of jobs, then that of tasks.
    pub(super) fn work_queues(&self) -> Vec<String> {
        let mut queues = self.options.queues_of(Kind::Job);
        queues.push(TASKS);
        queues.into_iter().map(str::to_owned).collect()
    }

    async fn figures(&self, queues: &[String]) -> Result<Vec<Figures>, QueueError> {
        let mut pipe = redis::pipe();
        for queue in queues {
            let key = |suffix: &str| format!("{}:{suffix}", self.options.base(queue));
            pipe.get(key("id"));
            pipe.hget(key("metrics:completed"), "count");
            pipe.hget(key("metrics:failed"), "count");
            pipe.llen(key("active"));
            pipe.llen(key("wait"));
            pipe.zcard(key("prioritized"));
            pipe.zcard(key("delayed"));
            pipe.zcard(key("completed"));
            pipe.zcard(key("failed"));
            for field in ["cancelled", "retried", "revived"] {
                pipe.hget(key("sommos"), field);
            }
        }
        let found: Vec<Option<u64>> = self
            .link
            .ask(|conn| async move {
                let mut connection = conn.redis().connection();
                Ok(pipe.query_async(&mut connection).await?)
            })
            .await?;
        let numbers: Vec<u64> = found.into_iter().map(Option::unwrap_or_default).collect();
        Ok(numbers.chunks_exact(12).map(Figures::read).collect())
    }

    /// The counters of the shared queue on top of those of the embedded one.
    pub(in crate::queue) async fn metrics(
        &self,
        local: QueueMetrics,
    ) -> Result<QueueMetrics, QueueError> {
        let queues = self.work_queues();
        let mut all = local;
        self.add_pool(&mut all.pool);
        // What this server alone has is worth an answer while Redis is out.
        let Ok(figures) = self.figures(&queues).await else {
            return Ok(all);
        };
        for (queue, figures) in queues.iter().zip(figures) {
            let into = match queue == TASKS {
                true => &mut all.tasks,
                false => &mut all.jobs,
            };
            figures.add_to(into);
        }
        for (queue, into) in [(JOBS, &mut all.jobs), (TASKS, &mut all.tasks)] {
            if let Ok(times) = self.times(queue).await {
                add_times(times, into);
            }
        }
        // Worth an answer without them, too.
        let _ = self.count_batches(&mut all).await;
        Ok(all)
    }

    async fn times(&self, queue: &str) -> Result<Vec<u64>, QueueError> {
        let keys = [self.options.base(queue)];
        self.link
            .ask(|conn| async move { run(&conn, scripts::TIMES, &keys, &[]).await })
            .await
    }

    /// Adds the workers of this server to those of its embedded queue.
    pub(in crate::queue) fn add_pool(&self, pool: &mut PoolStats) {
        let (busy, max, spent) = self.runner.stats();
        pool.threads += busy;
        pool.busy += busy;
        pool.max = pool.max.max(max);
        pool.utilization = (pool.busy as f64 / pool.max.max(1) as f64).min(1.0);
        pool.busy_seconds += spent.as_secs_f64();
    }

    /// Forgets ended jobs of one list, older than this; at most `pages` pages of them.
    pub(super) async fn sweep(
        &self,
        queue: &str,
        state: &'static str,
        older_than_ms: u64,
        pages: usize,
    ) -> Result<usize, QueueError> {
        let mut swept = 0;
        for _ in 0..pages {
            let page = self
                .link
                .ask(|conn| async move {
                    let of = conn.queue(queue)?;
                    let ids = of.clean(older_than_ms, SWEEP_PAGE as u32, state).await?;
                    forget_results(&conn, &self.options.base(queue), &ids).await?;
                    Ok(ids.len())
                })
                .await?;
            swept += page;
            if page < SWEEP_PAGE {
                break;
            }
        }
        Ok(swept)
    }

    /// Counts and sweeps; ends only with its task.
    pub(super) async fn upkeep(&self) {
        for round in 0u32.. {
            tokio::time::sleep(COUNT).await;
            if !self.link.is_up() {
                continue;
            }
            // What failed is done the next time.
            let _ = self.count().await;
            if round % SWEEP_EVERY == 0 {
                let age = self.config.retention.age_ms;
                for queue in self.work_queues() {
                    for state in ["completed", "failed"] {
                        let _ = self.sweep(&queue, state, age, SWEEP_PAGES).await;
                    }
                }
            }
            self.remove_orphans().await;
        }
    }

    /// Removes what was submitted and never answered.
    async fn remove_orphans(&self) {
        for id in self.orphans.take() {
            let queue = match id.kind {
                Kind::Task => TASKS,
                _ => JOBS,
            };
            let base = self.options.base(queue);
            let now = self.now().0.to_string();
            let removed = self
                .link
                .ask(|conn| async move {
                    let text = id.to_string();
                    let reason = super::map::CANCELLED;
                    let arguments = [text.as_bytes(), now.as_bytes(), reason.as_bytes()];
                    let _: (usize, String) =
                        run(&conn, scripts::CANCEL, &[base.as_str()], &arguments).await?;
                    conn.queue(queue)?.remove(&text).await
                })
                .await;
            if removed.is_err() {
                self.orphans.push(id);
            }
        }
    }
}

impl Figures {
    /// From the answers of one queue, in the order in which they are asked for.
    fn read(numbers: &[u64]) -> Self {
        let &[
            total,
            completed,
            failed,
            active,
            wait,
            prioritized,
            delayed,
            kept_completed,
            kept_failed,
            cancelled,
            retried,
            revived,
        ] = numbers
        else {
            return Self::default();
        };
        Self {
            total,
            // Workers elsewhere may not count; what is kept is there at least.
            completed: completed.max(kept_completed),
            failed: failed
                .saturating_sub(revived)
                .max(kept_failed.saturating_sub(cancelled)),
            cancelled,
            retried,
            active,
            queued: wait + prioritized + delayed,
        }
    }

    fn add_to(self, into: &mut Metrics) {
        into.total += self.total;
        into.completed += self.completed;
        into.failed += self.failed;
        into.cancelled += self.cancelled;
        into.retried += self.retried;
        into.active += self.active;
        into.queued += self.queued;
    }
}

/// The mean is that of the times that are shown.
fn add_times(times: Vec<u64>, into: &mut Metrics) {
    if times.is_empty() {
        return;
    }
    into.times_ms.extend(times);
    let surplus = into.times_ms.len().saturating_sub(TIMES);
    into.times_ms.drain(..surplus);
    let sum: u64 = into.times_ms.iter().sum();
    into.average_ms = sum as f64 / into.times_ms.len() as f64;
}

async fn forget_results(conn: &Conn, base: &str, ids: &[String]) -> Result<(), bullmq::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut pipe = redis::pipe();
    for id in ids {
        pipe.cmd("UNLINK")
            .arg(format!("{base}:{id}:result"))
            .ignore();
    }
    let mut connection = conn.redis().connection();
    Ok(pipe.query_async(&mut connection).await?)
}
