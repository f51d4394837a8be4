//! How the shared queue is reached and what it may hold.

use std::time::Duration;

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
