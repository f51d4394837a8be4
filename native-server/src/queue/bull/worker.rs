//! Workers: BullMQ's own, which claim jobs, renew their claims, look for claims that ended and
//! report.

use std::{sync::Arc, time::Duration};

use bullmq::{
    Error, Job, MetricsOptions, Worker, WorkerOptions,
    types::{KeepJobs, RemoveOnFinish},
};
use serde_json::Value;

use super::{Bull, link::connection_options, map::Meta};

/// Wait before another try to connect, or to fetch after a failure.
const AGAIN: Duration = Duration::from_millis(500);
/// Longest wait for work in one command, and so for an idle worker's end.
const IDLE: Duration = Duration::from_secs(1);
/// Longest wait for Redis before a try to connect all the same.
const UP: Duration = Duration::from_secs(60);

impl Bull {
    /// Runs a worker of this queue until the drain. `process` gives BullMQ's return value.
    pub(super) async fn serve<F>(
        self: Arc<Self>,
        queue: String,
        process: impl Fn(Arc<Self>, Job) -> F + Clone + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<Value, Error>> + Send + 'static,
    {
        let options = self.worker_options();
        self.serve_with(queue, options, process).await;
    }

    /// The same with other options.
    pub(super) async fn serve_with<F>(
        self: Arc<Self>,
        queue: String,
        options: WorkerOptions,
        process: impl Fn(Arc<Self>, Job) -> F + Clone + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<Value, Error>> + Send + 'static,
    {
        loop {
            // BullMQ's own connection would try for long, with pauses that grow.
            self.link.until_up(UP).await;
            let bull = Arc::clone(&self);
            let process = process.clone();
            let run = move |job: Job, _| process(Arc::clone(&bull), job);
            let made = Worker::with_options(&queue, run, options.clone());
            let worker = match made.await {
                Ok(worker) => Arc::new(worker),
                Err(error) => {
                    tracing::warn!(%error, queue, "no worker of the shared queue yet");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            if !self.keep_worker(&worker) {
                return;
            }
            // Its events are those of the queue, which are listened to elsewhere; unread they
            // would pile up.
            while worker.next_event().await.is_some() {}
            return;
        }
    }

    pub(super) fn worker_options(&self) -> WorkerOptions {
        let lease = self.options.lease;
        // One look in a quarter of the lease, over all workers together.
        let look = (lease / 4).max(Duration::from_millis(25));
        let keep = || {
            RemoveOnFinish::Options(KeepJobs {
                age: None,
                count: Some(self.config.retention.count),
                limit: None,
            })
        };
        WorkerOptions::new()
            .connection(connection_options(&self.options))
            .prefix(self.options.prefix.as_str())
            .concurrency(self.config.max_workers.max(1))
            .lock_duration(lease)
            .lock_renew_time(look)
            .stalled_interval(look)
            .max_stalled_count(self.options.stalled_max)
            .drain_delay(IDLE)
            .run_retry_delay(AGAIN)
            .remove_on_complete(keep())
            .remove_on_fail(keep())
            .metrics(MetricsOptions::default())
            .backoff_strategy(Arc::new(|attempt, kind, _, _| {
                let delay =
                    Meta::decode(kind).map_or(0, |meta| meta.backoff.delay_ms(attempt, meta.seed));
                Box::pin(async move { i64::try_from(delay).unwrap_or(i64::MAX) })
            }))
    }
}
