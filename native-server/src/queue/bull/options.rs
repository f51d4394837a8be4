//! How the shared queue is reached and what it may hold.

use std::time::Duration;

use sommos_core::jobs::Kind;

/// The queue of native jobs.
pub(super) const JOBS: &str = "jobs";
/// The queue of native tasks.
pub(super) const TASKS: &str = "tasks";
/// The queue of batches.
pub(super) const BATCHES: &str = "batches";
/// The queue of their chunks.
pub(super) const CHUNKS: &str = "chunks";
/// The queue of what keeps a batch waiting while more chunks may come: no worker takes it.
pub(super) const INTAKE: &str = "intake";

/// Of the shared queue.
#[derive(Debug, Clone)]
pub struct BullOptions {
    /// `redis://[user:password@]host:port[/db]`.
    pub url: String,
    /// What the names of BullMQ's keys begin with: npm's `prefix` option.
    pub prefix: String,
    /// Longest wait for Redis in a request.
    pub hard: Duration,
    /// How long a worker's claim of a job lasts without renewal (renewed at half): a job of a
    /// worker that died is taken over after at most twice as long.
    pub lease: Duration,
    /// How often a job may lose its worker before it counts as failed.
    pub stalled_max: u32,
    /// Types of jobs that workers of npm's `bullmq` run, each in a queue of its name.
    pub external: Vec<String>,
    /// Largest input of a job in Redis, bytes.
    pub job_bytes_max: usize,
}

impl BullOptions {
    /// All queues.
    pub(super) fn queues(&self) -> impl Iterator<Item = &str> {
        [JOBS, TASKS, BATCHES, CHUNKS, INTAKE]
            .into_iter()
            .chain(self.external.iter().map(String::as_str))
    }

    /// The queues in which work of this kind may be: its own first, then those of other workers.
    pub(super) fn queues_of(&self, kind: Kind) -> Vec<&str> {
        match kind {
            Kind::Job => {
                let external = self.external.iter().map(String::as_str);
                std::iter::once(JOBS).chain(external).collect()
            }
            Kind::Task => vec![TASKS],
            Kind::Chunk => vec![CHUNKS],
        }
    }

    /// What the names of a queue's keys begin with, without the last colon.
    pub(super) fn base(&self, queue: &str) -> String {
        format!("{}:{queue}", self.prefix)
    }
}
