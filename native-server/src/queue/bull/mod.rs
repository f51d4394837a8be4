//! The queue that servers share: [BullMQ](https://bullmq.io) on Redis, through its own Rust client.
//!
//! Queues, all under one prefix: `jobs` and `tasks` hold work that every server can run, named by
//! its type; `batches` the parents and `chunks` the children of batches; and one queue for each
//! external type, which workers of npm's `bullmq` serve.

mod batches;
mod jobs;
mod options;
mod runner;

use std::{sync::Arc, time::Duration};

use super::{
    handle::Embedded,
    types::{Executor, QueueConfig},
};

pub use options::BullOptions;
use runner::Runner;

/// The shared queue as one server sees it.
pub(super) struct Bull {
    options: BullOptions,
    config: QueueConfig,
    runner: Runner,
    batches: batches::Batches,
    /// Events and timings are those of the embedded queue: one numbering, one set of figures.
    local: Embedded,
}

impl Bull {
    pub(super) fn new(
        options: BullOptions,
        config: QueueConfig,
        executor: Arc<dyn Executor>,
        local: Embedded,
    ) -> Arc<Self> {
        let runner = Runner::new(executor, config.max_workers, config.interrupt_grace);
        let batches = batches::Batches::new(&config.scheduler);
        Arc::new(Self {
            options,
            config,
            runner,
            batches,
            local,
        })
    }

    /// Starts workers and listeners; they connect when Redis answers.
    pub(super) async fn start(self: &Arc<Self>) {
        self.start_batches();
    }

    /// Ends workers: what runs has `grace` to end and then goes back in line.
    pub(super) async fn drain(&self, grace: Duration) {
        self.drain_batches(grace).await;
    }
}
