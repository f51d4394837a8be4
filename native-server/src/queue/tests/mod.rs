//! The queue on real files, with real threads. Nothing here measures time; waits end when the
//! awaited state is there.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use sommos_core::{
    batch::BatchOptions,
    jobs::{Backoff, JobError, JobId, JobSpec, Kind, Retention, Status},
    time::Timestamp,
};

use super::{handle::Embedded, *};

mod batches;
mod faults;
mod jobs;

/// Runs by the name of the job's type.
#[derive(Default)]
struct Handlers {
    open: Mutex<bool>,
    opened: Condvar,
    busy: AtomicUsize,
    busiest: AtomicUsize,
    runs: AtomicUsize,
}

impl Handlers {
    fn open_gate(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    /// Waits until a worker has begun a job: `Status::Running` alone says that one is claimed.
    async fn begun(&self) {
        while self.runs.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

impl Executor for Handlers {
    fn run(&self, work: &Work, control: &WorkControl) -> Result<Bytes, Failure> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
        self.busiest.fetch_max(busy, Ordering::SeqCst);
        let outcome = match &*work.job_type {
            "echo" => Ok(work.payload.clone()),
            "params" => Ok([&work.params[..], &work.payload[..]].concat().into()),
            "bad" if &work.payload[..] == b"1" => {
                Err(Failure::permanent("INVALID_DATA", "row 3 has no id"))
            }
            "bad" => Ok(work.payload.clone()),
            "break" => Err(Failure::transient("OFFLINE", "no network")),
            "panic" => panic!("a bug"),
            "gate" => {
                let mut open = self.open.lock().unwrap();
                while !*open {
                    open = self.opened.wait(open).unwrap();
                }
                Ok(Bytes::new())
            }
            _ => loop {
                if let Err(stopped) = control.check() {
                    break Err(stopped.into());
                }
                std::thread::yield_now();
            },
        };
        self.busy.fetch_sub(1, Ordering::SeqCst);
        outcome
    }
}

struct Fixture {
    folder: std::path::PathBuf,
    handlers: Arc<Handlers>,
    time: Arc<AtomicU64>,
    config: QueueConfig,
}

impl Fixture {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("queue-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let time = Arc::new(AtomicU64::new(1_000_000));
        let mut config = QueueConfig::new(folder.join("queue.db"));
        let clock = Arc::clone(&time);
        config.clock = Arc::new(move || Timestamp(clock.load(Ordering::SeqCst)));
        config.max_workers = 2;
        Self {
            folder,
            handlers: Arc::default(),
            time,
            config,
        }
    }

    fn open(&self) -> Embedded {
        Embedded::open(
            self.config.clone(),
            Arc::clone(&self.handlers) as Arc<dyn Executor>,
        )
        .unwrap()
    }

    fn pass(&self, queue: &Embedded, ms: u64) {
        self.time.fetch_add(ms, Ordering::SeqCst);
        queue.wake();
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.handlers.open_gate();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn job(job_type: &str, payload: &str) -> NewJob {
    let backoff = Backoff {
        base_ms: 1000,
        max_ms: 1000,
        jitter: 0.0,
    };
    let spec = JobSpec {
        backoff,
        max_attempts: 2,
        ..JobSpec::new(Kind::Job, job_type)
    };
    NewJob {
        spec,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        here: false,
    }
}

async fn until(queue: &Embedded, id: JobId, status: Status) -> sommos_core::jobs::Record {
    loop {
        let record = queue.job(id).await.unwrap().record;
        if record.state.status == status {
            return record;
        }
        assert!(!record.state.status.ended(), "ended otherwise: {record:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn batch_ended(queue: &Embedded, id: sommos_core::jobs::BatchId) -> sommos_core::batch::Book {
    loop {
        let book = queue.batch(id).await.unwrap();
        if book.status.ended() {
            return book;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Faults and looks for tests. They go to the writer's own connection.
#[cfg(test)]
impl Embedded {
    pub(super) async fn limit_pages(&self, pages: i64) -> Result<(), QueueError> {
        self.sql(format!("PRAGMA max_page_count = {pages}"))
            .await
            .map(drop)
    }

    pub(super) async fn read_only(&self, on: bool) -> Result<(), QueueError> {
        self.sql(format!("PRAGMA query_only = {}", u8::from(on)))
            .await
            .map(drop)
    }

    /// Rows in all tables of work.
    pub(super) async fn rows(&self) -> Result<i64, QueueError> {
        let tables = ["jobs", "payloads", "results", "batches", "chunk_results"];
        let counts = tables
            .map(|table| format!("(SELECT count(*) FROM {table})"))
            .join(" + ");
        self.sql(format!("SELECT {counts}")).await
    }

    async fn sql(&self, sql: String) -> Result<i64, QueueError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.0.shared.sql.lock().unwrap().push((sql, sender));
        self.wake();
        receiver.await.map_err(|_| QueueError::Closed)
    }
}
