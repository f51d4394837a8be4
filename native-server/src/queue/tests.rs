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

use super::*;

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
}

impl Executor for Handlers {
    fn run(&self, work: &Work, control: &WorkControl) -> Result<Bytes, Failure> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
        self.busiest.fetch_max(busy, Ordering::SeqCst);
        let outcome = match &*work.job_type {
            "echo" => Ok(work.payload.clone()),
            "params" => Ok([&work.params[..], &work.payload[..]].concat().into()),
            "bad" if &work.payload[..] == b"1" => Err(Failure::permanent("row 3 has no id")),
            "bad" => Ok(work.payload.clone()),
            "break" => Err(Failure::transient("no network")),
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
                    break Err(Failure::permanent(stopped.to_string()));
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

    fn open(&self) -> Queue {
        Queue::open(
            self.config.clone(),
            Arc::clone(&self.handlers) as Arc<dyn Executor>,
        )
        .unwrap()
    }

    fn pass(&self, queue: &Queue, ms: u64) {
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
    }
}

async fn until(queue: &Queue, id: JobId, status: Status) -> sommos_core::jobs::Record {
    loop {
        let record = queue.job(id).await.unwrap().record;
        if record.state.status == status {
            return record;
        }
        assert!(!record.state.status.ended(), "ended otherwise: {record:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn batch_ended(queue: &Queue, id: sommos_core::jobs::BatchId) -> sommos_core::batch::Book {
    loop {
        let book = queue.batch(id).await.unwrap();
        if book.status.ended() {
            return book;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn results_survive_a_restart() {
    let f = Fixture::new("restart");
    let large = "x".repeat(100_000);
    let queue = f.open();
    let small = queue.submit(job("echo", "hello")).await.unwrap().id;
    let big = queue.submit(job("echo", &large)).await.unwrap().id;
    until(&queue, small, Status::Completed).await;
    until(&queue, big, Status::Completed).await;
    queue.drain(Duration::from_secs(5)).await;
    assert!(matches!(queue.job(small).await, Err(QueueError::Closed)));
    drop(queue);
    let queue = f.open();
    assert_eq!(
        queue.job(small).await.unwrap().record.state.status,
        Status::Completed
    );
    assert_eq!(queue.result(small).await.unwrap().unwrap(), "hello");
    assert_eq!(queue.result(big).await.unwrap().unwrap(), large);
    assert_eq!(f.handlers.runs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_killed_process_gives_its_jobs_back_with_the_attempt_counted() {
    let f = Fixture::new("killed");
    let queue = f.open();
    let id = queue.submit(job("loop", "")).await.unwrap().id;
    let first = until(&queue, id, Status::Running).await;
    drop(queue);
    let queue = f.open();
    let second = until(&queue, id, Status::Running).await;
    assert_eq!((first.state.attempts, second.state.attempts), (1, 2));
    assert!(second.state.token > first.state.token);
    drop(queue);
    let queue = f.open();
    let dead = until(&queue, id, Status::Failed).await;
    assert!(
        dead.state.dead,
        "a job that kills its process is a dead letter in the end"
    );
    let letters = Filter {
        dead: true,
        ..Filter::default()
    };
    assert_eq!(queue.list(letters, 10).await.unwrap()[0].id, id);
    queue.retry(id).await.unwrap();
    assert_eq!(until(&queue, id, Status::Running).await.state.attempts, 1);
}

#[tokio::test]
async fn a_drain_gives_running_jobs_back_uncounted() {
    let f = Fixture::new("drain");
    let queue = f.open();
    let ids = [job("loop", ""), job("loop", ""), job("echo", "later")].map(|j| queue.submit(j));
    let ids = futures_util::future::join_all(ids).await;
    let ids: Vec<JobId> = ids
        .into_iter()
        .map(|submitted| submitted.unwrap().id)
        .collect();
    until(&queue, ids[0], Status::Running).await;
    queue.drain(Duration::ZERO).await;
    drop(queue);
    let store = store::Store::open(&f.config.path).unwrap();
    for record in store.load().unwrap().records {
        assert_eq!(
            (record.state.status, record.state.attempts),
            (Status::Queued, 0)
        );
    }
}

#[tokio::test]
async fn a_drain_waits_for_what_ends_in_time() {
    let f = Fixture::new("patient");
    let queue = f.open();
    let id = queue.submit(job("gate", "")).await.unwrap().id;
    until(&queue, id, Status::Running).await;
    let draining = tokio::spawn({
        let queue = queue.clone();
        async move { queue.drain(Duration::from_secs(60)).await }
    });
    f.handlers.open_gate();
    draining.await.unwrap();
    drop(queue);
    let queue = f.open();
    assert_eq!(
        queue.job(id).await.unwrap().record.state.status,
        Status::Completed
    );
}

#[tokio::test]
async fn a_cancelled_job_stops_and_its_report_is_refused() {
    let f = Fixture::new("cancel");
    let queue = f.open();
    let id = queue.submit(job("loop", "")).await.unwrap().id;
    until(&queue, id, Status::Running).await;
    assert!(queue.cancel(id).await.unwrap());
    assert_eq!(
        queue.job(id).await.unwrap().record.state.status,
        Status::Cancelled
    );
    while f.handlers.busy.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    let again = queue.submit(job("echo", "")).await.unwrap().id;
    until(&queue, again, Status::Completed).await;
    assert_eq!(
        queue.job(id).await.unwrap().record.state.status,
        Status::Cancelled
    );
    let ended = JobError::Ended {
        id,
        status: Status::Cancelled,
    };
    assert_eq!(queue.cancel(id).await.unwrap_err().job(), Some(&ended));
}

#[tokio::test]
async fn a_timeout_fails_the_attempt_and_the_next_one_follows() {
    let f = Fixture::new("timeout");
    let queue = f.open();
    let mut new = job("loop", "");
    new.spec.timeout_ms = 500;
    let id = queue.submit(new).await.unwrap().id;
    until(&queue, id, Status::Running).await;
    f.pass(&queue, 500);
    let waiting = until(&queue, id, Status::Queued).await;
    assert_eq!(
        waiting.state.error.as_deref(),
        Some("timed out after 500 ms")
    );
    f.pass(&queue, 1000);
    until(&queue, id, Status::Running).await;
    f.pass(&queue, 500);
    assert!(until(&queue, id, Status::Failed).await.state.dead);
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt() {
    let f = Fixture::new("panic");
    let queue = f.open();
    let mut new = job("panic", "");
    new.spec.max_attempts = 1;
    let id = queue.submit(new).await.unwrap().id;
    let record = until(&queue, id, Status::Failed).await;
    assert_eq!(record.state.error.as_deref(), Some("panicked: a bug"));
}

#[tokio::test]
async fn a_worker_that_ignores_its_interruption_is_replaced() {
    let mut f = Fixture::new("deaf");
    f.config.max_workers = 1;
    f.config.interrupt_grace = Duration::ZERO;
    let queue = f.open();
    let deaf = queue.submit(job("gate", "")).await.unwrap().id;
    until(&queue, deaf, Status::Running).await;
    queue.cancel(deaf).await.unwrap();
    let other = queue.submit(job("echo", "")).await.unwrap().id;
    until(&queue, other, Status::Completed).await;
    assert_eq!(queue.metrics().await.unwrap().pool.lost, 1);
    f.handlers.open_gate();
    while queue.metrics().await.unwrap().pool.lost > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_passes() {
    let f = Fixture::new("full");
    let queue = f.open();
    let before = queue.submit(job("echo", "before")).await.unwrap().id;
    until(&queue, before, Status::Completed).await;
    let gated = queue.submit(job("gate", "")).await.unwrap().id;
    until(&queue, gated, Status::Running).await;
    queue.limit_pages(1).await.unwrap();
    let refused = queue.submit(job("echo", &"x".repeat(1 << 20))).await;
    assert!(matches!(refused, Err(QueueError::Store(_))), "{refused:?}");
    assert!(!queue.healthy());
    queue.limit_pages(1 << 30).await.unwrap();
    // What ran goes on, and what it reports counts.
    f.handlers.open_gate();
    let record = until(&queue, gated, Status::Completed).await;
    assert_eq!(record.state.attempts, 1);
    let after = queue.submit(job("echo", "after")).await.unwrap().id;
    until(&queue, after, Status::Completed).await;
    assert!(queue.healthy());
    assert_eq!(
        queue.list(Filter::default(), 10).await.unwrap().len(),
        3,
        "nothing half-done"
    );
}

#[tokio::test]
async fn reports_of_a_failed_round_are_written_later() {
    let f = Fixture::new("again");
    let queue = f.open();
    let id = queue.submit(job("gate", "")).await.unwrap().id;
    until(&queue, id, Status::Running).await;
    queue.read_only(true).await.unwrap();
    f.handlers.open_gate();
    while queue.metrics().await.map_or(1, |m| m.write_failures) == 0 {
        tokio::task::yield_now().await;
    }
    let running = queue.job(id).await;
    assert!(running.is_err() || running.unwrap().record.state.status == Status::Running);
    while queue.read_only(false).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(until(&queue, id, Status::Completed).await.state.attempts, 1);
}

#[tokio::test]
async fn retention_sweeps_rows_and_blobs() {
    let mut f = Fixture::new("retention");
    f.config.retention = Retention {
        age_ms: 1000,
        ..Retention::default()
    };
    let queue = f.open();
    let payload = "x".repeat(5000);
    let id = queue.submit(job("echo", &payload)).await.unwrap().id;
    until(&queue, id, Status::Completed).await;
    let batch = NewBatch {
        options: BatchOptions {
            job_type: "echo".into(),
            ..BatchOptions::default()
        },
        params: Bytes::new(),
        chunks: (0..600).map(|_| (Bytes::from_static(b"c"), 1)).collect(),
    };
    let batch = queue.submit_batch(batch).await.unwrap();
    batch_ended(&queue, batch).await;
    f.pass(&queue, 1001);
    while queue.rows().await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(matches!(
        queue.job(id).await.unwrap_err().job(),
        Some(JobError::NotFound(_))
    ));
    assert!(matches!(
        queue.batch(batch).await.unwrap_err().job(),
        Some(JobError::NoBatch(_))
    ));
}

#[tokio::test]
async fn a_bad_chunk_fails_alone() {
    let f = Fixture::new("chunks");
    let queue = f.open();
    let chunks = ["0", "1", "2"]
        .map(|c| (Bytes::from_static(c.as_bytes()), 10))
        .to_vec();
    let options = BatchOptions {
        job_type: "bad".into(),
        ..BatchOptions::default()
    };
    let id = queue
        .submit_batch(NewBatch {
            options,
            params: Bytes::new(),
            chunks,
        })
        .await
        .unwrap();
    let book = batch_ended(&queue, id).await;
    assert_eq!((book.status, book.failed_chunks), (Status::Completed, 1));
    assert_eq!(book.errors[0].chunk, 1);
    let results = queue.batch_results(id, 0, 10).await.unwrap();
    let outcomes: Vec<_> = results.into_iter().map(|r| r.outcome).collect();
    let bad = Err("row 3 has no id".to_owned());
    assert_eq!(outcomes, [Ok(Bytes::from("0")), bad, Ok(Bytes::from("2"))]);
    assert_eq!(queue.batch_results(id, 2, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_batch_keeps_its_concurrency_and_survives_a_restart() {
    let mut f = Fixture::new("concurrency");
    f.config.max_workers = 4;
    let queue = f.open();
    let options = BatchOptions {
        job_type: "gate".into(),
        max_concurrency: 2,
        max_attempts: 3,
        ..BatchOptions::default()
    };
    let chunks = (0..6).map(|_| (Bytes::new(), 1)).collect();
    let id = queue
        .submit_batch(NewBatch {
            options,
            params: Bytes::new(),
            chunks,
        })
        .await
        .unwrap();
    while queue.metrics().await.unwrap().chunks.active < 2 {
        tokio::task::yield_now().await;
    }
    let metrics = queue.metrics().await.unwrap();
    assert_eq!(
        (metrics.chunks.active, metrics.pool.threads),
        (2, 2),
        "with four workers allowed"
    );
    drop(queue);
    f.handlers.open_gate();
    let queue = f.open();
    let book = batch_ended(&queue, id).await;
    assert_eq!((book.status, book.completed_chunks), (Status::Completed, 6));
    assert!(
        f.handlers.busiest.load(Ordering::SeqCst) <= 4,
        "two of each process"
    );
}

#[tokio::test]
async fn a_streamed_batch_runs_while_it_grows_and_an_abandoned_one_fails() {
    let f = Fixture::new("streamed");
    let queue = f.open();
    let options = BatchOptions {
        job_type: "params".into(),
        ..BatchOptions::default()
    };
    let id = queue
        .open_batch(options.clone(), Bytes::from_static(b"p"))
        .await
        .unwrap();
    assert_eq!(
        queue
            .append_chunk(id, Bytes::from_static(b"0"), 1)
            .await
            .unwrap(),
        0
    );
    while queue.batch(id).await.unwrap().completed_chunks == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        queue
            .append_chunk(id, Bytes::from_static(b"1"), 1)
            .await
            .unwrap(),
        1
    );
    queue.seal_batch(id).await.unwrap();
    assert_eq!(batch_ended(&queue, id).await.status, Status::Completed);
    let results = queue.batch_results(id, 1, 1).await.unwrap();
    assert_eq!(results[0].outcome.as_deref(), Ok(&b"p1"[..]));
    let open = queue.open_batch(options, Bytes::new()).await.unwrap();
    drop(queue);
    assert_eq!(batch_ended(&f.open(), open).await.status, Status::Failed);
}

#[tokio::test]
async fn events_come_in_order_and_can_be_taken_up_again() {
    let f = Fixture::new("events");
    let queue = f.open();
    let mut live = queue.events(None).live;
    let id = queue.submit(job("echo", "")).await.unwrap().id;
    let mut names = Vec::new();
    let mut last = 0;
    while names.len() < 3 {
        let event = live.recv().await.unwrap();
        assert_eq!(event.seq, last + 1);
        last = event.seq;
        assert_eq!(event.fields()["id"], id.to_string());
        names.push(event.name());
    }
    assert_eq!(names, ["jobQueued", "jobStarted", "jobCompleted"]);
    let again = queue.events(Some(1));
    assert_eq!(again.past.iter().map(|e| e.seq).collect::<Vec<_>>(), [2, 3]);
    assert!(!again.gap && queue.events(Some(99)).gap);
}

#[tokio::test]
async fn a_key_is_stored_once_and_found_after_a_restart() {
    let f = Fixture::new("key");
    let queue = f.open();
    let mut new = job("echo", "");
    new.spec.idempotency_key = Some("k".into());
    let first = queue.submit(new.clone()).await.unwrap();
    assert!(queue.submit(new.clone()).await.unwrap().deduplicated);
    drop(queue);
    let again = f.open().submit(new).await.unwrap();
    assert!(again.deduplicated && again.id == first.id);
}

#[tokio::test]
async fn short_jobs_taken_ahead_do_not_wait_behind_a_long_one() {
    let f = Fixture::new("ahead");
    let queue = f.open();
    // Many short jobs teach the pool to take some ahead.
    let many = (0..500).map(|_| queue.submit(job("echo", "")));
    let many = futures_util::future::join_all(many).await;
    until(&queue, many[499].as_ref().unwrap().id, Status::Completed).await;
    let long = [
        queue.submit(job("gate", "")).await,
        queue.submit(job("gate", "")).await,
    ];
    let short = queue.submit(job("echo", "")).await.unwrap().id;
    // Both workers are in the gate: the short one must come back to the queue.
    while queue.job(short).await.unwrap().record.state.status != Status::Queued {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    f.handlers.open_gate();
    let done = until(&queue, short, Status::Completed).await;
    assert_eq!(done.state.attempts, 1, "going back is no attempt");
    for gate in long {
        until(&queue, gate.unwrap().id, Status::Completed).await;
    }
}
