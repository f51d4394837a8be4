//! The `queue` workloads: durable jobs that do nothing, added and processed. Peers: BullMQ on
//! Redis (whose log is synced once a second: it may lose a second of jobs, ours loses none), and
//! the plain way over SQLite, one synced transaction per step of a job.

pub mod redis;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use sommos_core::{
    jobs::{Config, JobSpec, Kind, Retention, Scheduler},
    time::Timestamp,
};
use sommos_server::queue::{Executor, Failure, NewJob, Queue, QueueConfig, Work, WorkControl};
use tokio::runtime::Runtime;

use self::redis::Redis;

use crate::{
    Options,
    report::{Report, interleaved, median},
};

/// Jobs of one throughput round.
const JOBS: usize = 40_000;
/// Jobs of one round of the plain way, which is that much slower.
const PLAIN_JOBS: usize = 600;
/// Jobs of a pickup round, and how many are due a second.
const PICKUP_JOBS: usize = 5_000;
const PICKUP_RATE: usize = 1_000;
/// Jobs that wait at a restart.
const BACKLOG: usize = 100_000;

/// Runs them.
pub fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let redis = Redis::start(&folder.0);
    if let Err(error) = &redis {
        report.note("queue", &format!("without BullMQ: {error:#}"));
    }
    let redis = redis.ok();
    for submitters in [64, 256] {
        throughput(options, report, &folder.0, redis.as_ref(), submitters)?;
    }
    pickup(options, report, &folder.0, redis.as_ref())?;
    backlog(options, report, &folder.0)
}

/// What a long queue costs: a step of the scheduler with many waiting, and a restart with them.
fn backlog(options: &Options, report: &mut Report, folder: &Path) -> anyhow::Result<()> {
    for waiting in [100, 100_000 - 1] {
        let mut figures = Vec::new();
        for _ in 0..options.rounds {
            figures.push(scheduler_steps(waiting)?);
        }
        let case = format!("scheduler alone, {waiting} waiting");
        report.figure("queue", &case, "jobs/s", median(figures));
    }
    let executor = Noop::new(0);
    let (runtime, queue, path) = open(folder, Arc::clone(&executor))?;
    runtime.block_on(async {
        let mut submits = Vec::new();
        for n in 0..BACKLOG {
            let mut job = job(n);
            job.spec.delay_ms = 3_600_000;
            let queue = queue.clone();
            submits.push(tokio::spawn(async move { queue.submit(job).await }));
            if submits.len() == 4096 {
                for submit in submits.drain(..) {
                    submit.await??;
                }
            }
        }
        for submit in submits {
            submit.await??;
        }
        anyhow::Ok(())
    })?;
    drop(queue);
    let start = Instant::now();
    let queue = Queue::open(QueueConfig::new(path), executor)?;
    let waiting = runtime.block_on(queue.metrics())?.jobs.queued;
    let case = format!("restart with {waiting} waiting");
    report.figure("queue", &case, "ms", start.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Submit, claim and complete, 64 at a time, behind `waiting` delayed and ready jobs.
fn scheduler_steps(waiting: usize) -> anyhow::Result<f64> {
    const STEPS: usize = 100_000;
    const AT_ONCE: usize = 64;
    let config = Config {
        queued_max: waiting + AT_ONCE,
        ..Config::default()
    };
    let mut scheduler = Scheduler::new(config);
    let mut now = Timestamp(1_700_000_000_000);
    let mut entropy = 0u128;
    let mut submit = |scheduler: &mut Scheduler, now, priority, delay_ms| {
        entropy += 1;
        let bytes = entropy
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
            .to_be_bytes();
        let spec = JobSpec {
            priority,
            delay_ms,
            ..JobSpec::new(Kind::Job, "noop")
        };
        scheduler.submit(now, bytes, spec)
    };
    for n in 0..waiting {
        submit(&mut scheduler, now, -1, (n as u64 % 2) * 3_600_000)?;
    }
    let retention = Retention {
        count: 1000,
        ..Retention::default()
    };
    let start = Instant::now();
    for _ in 0..STEPS / AT_ONCE {
        now = now.plus_ms(1);
        for _ in 0..AT_ONCE {
            submit(&mut scheduler, now, 0, 0)?;
        }
        for claim in scheduler.claim(now, 0, AT_ONCE) {
            scheduler.complete(now, claim.id, claim.token, 0)?;
        }
        scheduler.sweep(now, &retention, 2 * AT_ONCE);
        scheduler.drain_changes(|change| {
            std::hint::black_box(change);
        });
        scheduler.drain_events();
    }
    Ok(STEPS as f64 / start.elapsed().as_secs_f64())
}

fn throughput(
    options: &Options,
    report: &mut Report,
    folder: &Path,
    redis: Option<&Redis>,
    submitters: usize,
) -> anyhow::Result<()> {
    let error = Mutex::new(None);
    let keep = |result: anyhow::Result<f64>| {
        result.unwrap_or_else(|e| {
            *error
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(e);
            f64::NAN
        })
    };
    let mut ours = || keep(ours_throughput(folder, submitters));
    let mut plain = || keep(plain_throughput(folder, submitters));
    let jobs = JOBS.to_string();
    let count = submitters.to_string();
    let mut bull = || {
        redis.map_or(f64::NAN, |r| {
            keep(r.twin(&["throughput", &jobs, &count]).map(|v| v[0]))
        })
    };
    let figures = interleaved(options.rounds, &mut [&mut ours, &mut plain, &mut bull]);
    if let Some(error) = error
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
    {
        return Err(error);
    }
    let case = format!("add + process, {submitters} submitters");
    report.case(
        "queue",
        &case,
        "jobs/s",
        figures[0],
        "SQLite, a transaction a step",
        figures[1],
    );
    if redis.is_some() {
        report.case(
            "queue",
            &case,
            "jobs/s",
            figures[0],
            "npm BullMQ, AOF everysec",
            figures[2],
        );
    }
    Ok(())
}

fn pickup(
    options: &Options,
    report: &mut Report,
    folder: &Path,
    redis: Option<&Redis>,
) -> anyhow::Result<()> {
    let (mut ours, mut bull) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..options.rounds.clamp(1, 3) {
        let (p50, p99) = ours_pickup(folder)?;
        ours[0].push(p50);
        ours[1].push(p99);
        if let Some(redis) = redis {
            let rate = PICKUP_RATE.to_string();
            let figures = redis.twin(&["pickup", &PICKUP_JOBS.to_string(), &rate])?;
            bull[0].push(figures[0]);
            bull[1].push(*figures.get(1).context("the twin prints two figures")?);
        }
    }
    for ((name, ours), bull) in ["p50", "p99"].into_iter().zip(ours).zip(bull) {
        let case = format!("pickup {name} at {PICKUP_RATE} jobs/s");
        // Ratios say how many times faster we are: rates, that is, 1 / ms.
        let ours = median(ours);
        if redis.is_some() {
            let (ours, bull) = (1.0 / ours, 1.0 / median(bull));
            report.case(
                "queue",
                &case,
                "1/ms",
                ours,
                "npm BullMQ, AOF everysec",
                bull,
            );
        }
        report.figure("queue", &case, "ms", ours);
    }
    Ok(())
}

/// Does nothing; notes when each job began.
pub struct Noop {
    done: AtomicUsize,
    began: Vec<Mutex<Option<Instant>>>,
}

impl Noop {
    /// That notes the begin of the first `jobs` jobs.
    pub fn new(jobs: usize) -> Arc<Self> {
        let began = std::iter::repeat_with(Mutex::default).take(jobs).collect();
        Arc::new(Self {
            done: AtomicUsize::new(0),
            began,
        })
    }
}

fn number(payload: &[u8]) -> Option<usize> {
    let digits = payload.strip_prefix(b"{\"n\":")?.strip_suffix(b"}")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn payload(n: usize) -> Bytes {
    format!("{{\"n\":{n}}}").into()
}

impl Executor for Noop {
    fn run(&self, work: &Work, _control: &WorkControl) -> Result<Bytes, Failure> {
        if let Some(began) = number(&work.payload).and_then(|n| self.began.get(n)) {
            *began
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(work.payload.clone())
    }
}

fn open(folder: &Path, executor: Arc<Noop>) -> anyhow::Result<(Runtime, Queue, PathBuf)> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let path = folder.join("queue.db");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
    let queue = Queue::open(QueueConfig::new(&path), executor)?;
    Ok((runtime, queue, path))
}

fn job(n: usize) -> NewJob {
    NewJob {
        spec: JobSpec::new(Kind::Job, "noop"),
        payload: payload(n),
        here: false,
    }
}

fn ours_throughput(folder: &Path, submitters: usize) -> anyhow::Result<f64> {
    let (runtime, queue, _) = open(folder, Noop::new(0))?;
    let rate = runtime.block_on(pump(&queue, JOBS, submitters, job))?;
    if std::env::var_os("SOMMOS_BENCH_COMMITS").is_some() {
        let metrics = runtime.block_on(queue.metrics())?;
        eprintln!("{:.0} jobs a commit", JOBS as f64 / metrics.commits as f64);
    }
    Ok(rate)
}

/// Adds so many jobs and waits until all are done: jobs a second.
pub async fn pump(
    queue: &Queue,
    jobs: usize,
    submitters: usize,
    job: fn(usize) -> NewJob,
) -> anyhow::Result<f64> {
    let start = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let submitters: Vec<_> = (0..submitters)
        .map(|_| {
            let (queue, next) = (queue.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= jobs {
                        return anyhow::Ok(());
                    }
                    queue.submit(job(n)).await?;
                }
            })
        })
        .collect();
    for submitter in submitters {
        submitter.await??;
    }
    // Done is what is stored as done; asking for it must not become the load.
    while queue.metrics().await?.jobs.completed < jobs as u64 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(jobs as f64 / start.elapsed().as_secs_f64())
}

fn ours_pickup(folder: &Path) -> anyhow::Result<(f64, f64)> {
    let executor = Noop::new(PICKUP_JOBS);
    let (runtime, queue, _) = open(folder, Arc::clone(&executor))?;
    let every = Duration::from_secs(1) / PICKUP_RATE as u32;
    let start = Instant::now();
    runtime.block_on(async {
        let mut submits = Vec::with_capacity(PICKUP_JOBS);
        for n in 0..PICKUP_JOBS {
            tokio::time::sleep_until((start + every * n as u32).into()).await;
            let queue = queue.clone();
            submits.push(tokio::spawn(async move { queue.submit(job(n)).await }));
        }
        for submit in submits {
            submit.await??;
        }
        while executor.done.load(Ordering::Relaxed) < PICKUP_JOBS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        anyhow::Ok(())
    })?;
    let mut waits = Vec::with_capacity(PICKUP_JOBS);
    for (n, began) in executor.began.iter().enumerate() {
        let began = began
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let began = began.with_context(|| format!("job {n} never began"))?;
        let due = start + every * n as u32;
        waits.push(began.saturating_duration_since(due).as_secs_f64() * 1e3);
    }
    waits.sort_by(f64::total_cmp);
    Ok((waits[PICKUP_JOBS / 2], waits[PICKUP_JOBS * 99 / 100]))
}

/// Insert, claim and complete in a synced transaction each; as many threads as submitters would
/// only wait for the one lock, so a mutex stands for it.
fn plain_throughput(folder: &Path, submitters: usize) -> anyhow::Result<f64> {
    let path = folder.join("plain.db");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
    let db = rusqlite::Connection::open(&path)?;
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE jobs(id INTEGER PRIMARY KEY, status TEXT, priority INTEGER, payload TEXT,
                           result TEXT);
         CREATE INDEX waiting ON jobs(status, priority DESC, id);",
    )?;
    let db = Mutex::new(db);
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..submitters.min(8))
            .map(|_| {
                scope.spawn(|| {
                    while plain_job(&db, next.fetch_add(1, Ordering::Relaxed))? {}
                    anyhow::Ok(())
                })
            })
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(result) => result?,
                Err(_) => bail!("a thread of the plain queue panicked"),
            }
        }
        anyhow::Ok(())
    })?;
    Ok(PLAIN_JOBS as f64 / start.elapsed().as_secs_f64())
}

/// One job from its insertion to its end; gives whether there was one.
fn plain_job(db: &Mutex<rusqlite::Connection>, n: usize) -> anyhow::Result<bool> {
    if n >= PLAIN_JOBS {
        return Ok(false);
    }
    let lock = || db.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let text = format!("{{\"n\":{n}}}");
    lock()
        .prepare_cached("INSERT INTO jobs(status, priority, payload) VALUES('queued', 0, ?1)")?
        .execute([&text])?;
    let id: i64 = lock()
        .prepare_cached(
            "UPDATE jobs SET status = 'running' WHERE id = (SELECT id FROM jobs
             WHERE status = 'queued' ORDER BY priority DESC, id LIMIT 1) RETURNING id",
        )?
        .query_row([], |row| row.get(0))?;
    lock()
        .prepare_cached("UPDATE jobs SET status = 'completed', result = ?2 WHERE id = ?1")?
        .execute(rusqlite::params![id, text])?;
    Ok(true)
}

/// A folder of our own, deleted at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("sommos-bench-queue-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
