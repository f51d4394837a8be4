//! The queue that servers share: [BullMQ](https://bullmq.io) on Redis, through its own Rust client.
//!
//! Queues, all under one prefix: `jobs` and `tasks` hold work that every server can run, named by
//! its type; `batches` the parents and `chunks` the children of batches; and one queue for each
//! external type, which workers of npm's `bullmq` serve.

mod adds;
mod batches;
mod events;
mod figures;
mod jobs;
mod link;
mod list;
mod map;
mod options;
mod results;
mod runner;
mod running;
mod scripts;
mod stream;
mod work;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bullmq::Worker;
use redis::streams::StreamRangeReply;
use sommos_core::{jobs::Kind, time::Timestamp};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    handle::Embedded,
    types::{Executor, QueueConfig},
};
use crate::gather::Gather;

use adds::Adds;
use figures::{Counts, Orphans};
use link::{Conn, Link};
pub use options::BullOptions;
use options::{JOBS, TASKS};
use runner::Runner;
use running::Running;

/// Wait for workers after they gave back what ran.
const GIVEN_BACK: Duration = Duration::from_secs(1);

/// The shared queue as one server sees it.
pub(super) struct Bull {
    options: BullOptions,
    config: QueueConfig,
    runner: Runner,
    /// Events and timings are those of the embedded queue: one numbering, one set of figures.
    local: Embedded,
    link: Arc<Link>,
    /// New jobs, and new tasks.
    adds: [Arc<Gather<Adds>>; 2],
    batches: batches::Batches,
    running: Running,
    counts: Counts,
    /// The newest event of each queue when this server first connected.
    heard_from: Mutex<HashMap<String, String>>,
    orphans: Orphans,
    workers: Mutex<Workers>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Whether what runs must be given back.
    drained: watch::Sender<bool>,
}

#[derive(Default)]
struct Workers {
    of: Vec<Arc<Worker>>,
    /// No more are started.
    closed: bool,
}

impl Bull {
    pub(super) fn new(
        options: BullOptions,
        config: QueueConfig,
        executor: Arc<dyn Executor>,
        local: Embedded,
    ) -> Arc<Self> {
        let runner = Runner::new(executor, config.max_workers, config.interrupt_grace);
        let link = Arc::new(Link::new(options.clone()));
        let adds = |queue| Gather::new(Adds::new(Arc::clone(&link), options.base(queue)));
        Arc::new(Self {
            adds: [adds(JOBS), adds(TASKS)],
            link,
            batches: batches::Batches::new(&config.scheduler),
            options,
            config,
            runner,
            local,
            running: Running::default(),
            counts: Counts::default(),
            heard_from: Mutex::default(),
            orphans: Orphans::default(),
            workers: Mutex::default(),
            tasks: Mutex::default(),
            drained: watch::channel(false).0,
        })
    }

    /// Starts workers and listeners; they connect when Redis answers. Returns when it was asked
    /// for the first time, so that the first requests find what is shared.
    pub(super) async fn start(self: &Arc<Self>) {
        let link = Arc::clone(self);
        self.spawn(async move {
            let prepare = |conn| Arc::clone(&link).prepare(conn);
            link.link.keep(prepare).await;
        });
        let upkeep = Arc::clone(self);
        self.spawn(async move { upkeep.upkeep().await });
        for (queue, kind) in [(JOBS, Kind::Job), (TASKS, Kind::Task)] {
            let process = move |bull: Arc<Self>, job| bull.process(queue, kind, job);
            self.spawn(Arc::clone(self).serve(queue.to_owned(), process));
        }
        for queue in self.work_queues() {
            let kind = if queue == TASKS {
                Kind::Task
            } else {
                Kind::Job
            };
            self.spawn(Arc::clone(self).listen(queue, kind));
        }
        self.start_batches();
        self.link.tried().await;
    }

    /// Runs something until the drain has ended.
    fn spawn(&self, what: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.push(tokio::spawn(what));
    }

    /// What every connection begins with.
    async fn prepare(self: Arc<Self>, conn: Arc<Conn>) {
        let prepared = self.prepare_queues(&conn);
        let error = match tokio::time::timeout(self.options.hard, prepared).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        tracing::warn!(
            error,
            "the streams of the shared queue's events are not prepared"
        );
    }

    async fn prepare_queues(&self, conn: &Conn) -> Result<(), bullmq::Error> {
        let queues: Vec<&str> = self.options.queues().collect();
        let mut pipe = redis::pipe();
        for queue in &queues {
            let base = self.options.base(queue);
            // Events carry results: as many are kept as one server keeps for those who come back.
            pipe.hset(
                format!("{base}:meta"),
                "opts.maxLenEvents",
                self.config.events_max,
            )
            .ignore();
            pipe.cmd("XREVRANGE")
                .arg(&[&format!("{base}:events"), "+", "-", "COUNT", "1"]);
        }
        let mut connection = conn.redis().connection();
        let newest: Vec<StreamRangeReply> = pipe.query_async(&mut connection).await?;
        // Listeners begin where the first connection did: before anything can be submitted here.
        let mut first = self
            .heard_from
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (queue, newest) in queues.iter().zip(newest) {
            let id = newest.ids.into_iter().next().map(|entry| entry.id);
            let id = id.unwrap_or_else(|| "0-0".to_owned());
            first.entry((*queue).to_owned()).or_insert(id);
        }
        Ok(())
    }

    fn now(&self) -> Timestamp {
        (self.config.clock)()
    }

    fn workers(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a worker for the drain; `false` when that has begun.
    fn keep_worker(&self, worker: &Arc<Worker>) -> bool {
        let mut workers = self.workers();
        if !workers.closed {
            workers.of.push(Arc::clone(worker));
        }
        !workers.closed
    }

    /// Resolves when what runs must be given back.
    async fn drained(&self) {
        let mut drained = self.drained.subscribe();
        // The sender lives as long as this.
        let _ = drained.wait_for(|drained| *drained).await;
    }

    /// Ends workers: what runs has `grace` to end and then goes back in front of the line, its
    /// attempt not counted.
    pub(super) async fn drain(&self, grace: Duration) {
        self.abandon_batches().await;
        let workers = {
            let mut workers = self.workers();
            workers.closed = true;
            std::mem::take(&mut workers.of)
        };
        let longest = u64::try_from((grace + GIVEN_BACK).as_millis()).unwrap_or(u64::MAX);
        let close = workers.iter().map(|worker| worker.close(longest));
        let close = futures_util::future::join_all(close);
        tokio::pin!(close);
        tokio::select! {
            _ = &mut close => {}
            () = tokio::time::sleep(grace) => {
                self.drained.send_replace(true);
                close.await;
            }
        }
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for task in tasks.drain(..) {
            task.abort();
        }
    }
}
