//! Nothing that was acknowledged is lost: servers and Redis die and stall under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::Method;
use rustix::process::Signal;
use serde_json::json;

use super::{
    cluster::{Cluster, Options, Server, percentile},
    work::{long, short, short_result, with},
};

const JOBS: u64 = 10_000;
const CLIENTS: u64 = 16;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_jobs_outlive_a_server() {
    let options = Options {
        // Long enough that no submission leaves Redis for a disk that is gone with its server.
        flags: vec![
            "--redis-job-lease-ms",
            "2000",
            "--redis-hard-timeout-ms",
            "10000",
        ],
        ..Options::default()
    };
    let cluster = Cluster::start(2, &options).await;
    cluster.shares_jobs().await;
    let before = cluster
        .redis
        .number(&["ZCARD", "sommos:jobs:completed"])
        .await;
    let began = Instant::now();
    let accepted = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let servers = [cluster.servers[0].clone(), cluster.servers[1].clone()];
            let accepted = Arc::clone(&accepted);
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for number in (client..JOBS).step_by(CLIENTS as usize) {
                    let key = json!({"idempotencyKey": format!("job-{number}")});
                    let body = with(short(number), key);
                    // What a server did not answer is sent to the other under the same key.
                    let first = &servers[(number % 2) as usize];
                    let answer = match first.try_submit(&body).await {
                        Some(answer) => answer,
                        None => servers[1].try_submit(&body).await.expect("B lives"),
                    };
                    let id = answer["data"]["jobId"].as_str().unwrap().to_owned();
                    ids.push((number, id));
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
                ids
            })
        })
        .collect();
    while accepted.load(Ordering::Relaxed) < JOBS / 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cluster.servers[0].signal(Signal::KILL);
    let killed = Instant::now();
    let mut ids = Vec::new();
    for client in clients {
        ids.extend(client.await.unwrap());
    }
    let submitted = began.elapsed();
    let b = &cluster.servers[1];
    for (number, id) in &ids {
        let job = b.until(id, "completed").await;
        assert_eq!(job["result"], short_result(*number), "{job}");
    }
    let (all, after_kill) = (began.elapsed(), killed.elapsed());
    let completed = cluster
        .redis
        .number(&["ZCARD", "sommos:jobs:completed"])
        .await
        - before;
    let failed = cluster.redis.number(&["ZCARD", "sommos:jobs:failed"]).await;
    let metrics = b.metrics().await;
    println!(
        "{JOBS} jobs over two servers, one killed after {}: accepted within {submitted:?}, all \
         completed within {all:?}, {after_kill:?} after the kill; {completed} results, {failed} \
         failures",
        JOBS / 2
    );
    assert_eq!((completed, failed), (JOBS, 0), "{metrics}");
    assert_eq!(metrics["activeJobs"], 0, "{metrics}");
    assert_eq!(metrics["queueSize"], 0, "{metrics}");
    assert!(all < Duration::from_secs(180), "{all:?}");
}

#[derive(Default)]
struct Report {
    accepted: Vec<(u64, String)>,
    waits: Vec<Duration>,
    refused: usize,
}

async fn submit_until(server: Server, client: u64, stop: Arc<AtomicBool>) -> Report {
    let mut report = Report::default();
    for number in (client * 1_000_000).. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let asked = Instant::now();
        let answer = server.try_submit(&short(number)).await;
        report.waits.push(asked.elapsed());
        match answer {
            Some(answer) => {
                let id = answer["data"]["jobId"].as_str().unwrap().to_owned();
                report.accepted.push((number, id));
            }
            None => report.refused += 1,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    report
}

/// Clients that submit to both servers until they are told to stop.
struct Clients {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Report>>,
}

impl Clients {
    fn start(cluster: &Cluster) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..8)
            .map(|client| {
                let server = cluster.servers[client % 2].clone();
                let stop = Arc::clone(&stop);
                tokio::spawn(submit_until(server, client as u64, stop))
            })
            .collect();
        Self { stop, tasks }
    }

    /// Every accepted job must be completed with its own result.
    async fn check(self, cluster: &Cluster, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut waits, mut jobs, mut refused) = (Vec::new(), 0, 0);
        let drained = Instant::now();
        for (client, task) in self.tasks.into_iter().enumerate() {
            let report = task.await.unwrap();
            // Those of the embedded queue are known where they were accepted.
            let server = &cluster.servers[client % 2];
            for (number, id) in &report.accepted {
                let job = server.until(id, "completed").await;
                assert_eq!(job["result"], short_result(*number), "{job}");
            }
            jobs += report.accepted.len();
            refused += report.refused;
            waits.extend(report.waits);
        }
        let p99 = percentile(&mut waits, 0.99);
        let slowest = waits[waits.len() - 1];
        println!(
            "{what}: {jobs} jobs acknowledged, 0 lost, {refused} refused; slowest answer \
             {slowest:?}, p99 {p99:?}; all ended {:?} after the last",
            drained.elapsed()
        );
        assert_eq!(refused, 0);
        // The hard timeout is 500 ms; the rest is this machine's.
        assert!(slowest < Duration::from_millis(1500), "{slowest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_job_is_lost_with_redis() {
    let options = Options {
        flags: vec!["--redis-job-lease-ms", "2000"],
        ..Options::default()
    };
    let mut cluster = Cluster::start(2, &options).await;
    cluster.shares_jobs().await;
    let clients = Clients::start(&cluster);
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.redis.kill().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.redis.restart().await;
    cluster.shares_jobs().await;
    cluster.redis.signal(Signal::STOP);
    tokio::time::sleep(Duration::from_secs(3)).await;
    cluster.redis.signal(Signal::CONT);
    cluster.shares_jobs().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    clients.check(&cluster, "Redis killed and stalled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_job_is_lost_with_the_connection() {
    let options = Options {
        flags: vec!["--redis-job-lease-ms", "2000"],
        proxied: true,
    };
    let cluster = Cluster::start(2, &options).await;
    cluster.shares_jobs().await;
    let clients = Clients::start(&cluster);
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Nobody is told that nothing passes any more.
    cluster.cut(1);
    tokio::time::sleep(Duration::from_secs(4)).await;
    cluster.mend(1);
    cluster.shares_jobs().await;
    clients
        .check(&cluster, "the way of one server to Redis cut")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_gives_back_what_it_runs() {
    let options = Options {
        flags: vec!["--workers-max", "1", "--grace-ms", "2000"],
        ..Options::default()
    };
    let cluster = Cluster::start(2, &options).await;
    cluster.shares_jobs().await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    let ids = [a.submit(&long(250)).await, a.submit(&long(250)).await];
    for id in &ids {
        b.until(id, "running").await;
    }
    a.signal(Signal::TERM);
    for id in &ids {
        let job = b.until(id, "completed").await;
        assert_eq!(job["attempts"], 1, "{job}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_memory_says_that_the_queue_is_full() {
    let cluster = Cluster::start(1, &Options::default()).await;
    cluster.shares_jobs().await;
    let server = &cluster.servers[0];
    let limit = ["CONFIG", "SET", "maxmemory"];
    cluster
        .redis
        .ask::<String>(&[&limit[..], &["1"]].concat())
        .await;
    let answer = server.call(Method::POST, "async/job", Some(short(1))).await;
    let (status, answer) = answer.unwrap();
    assert_eq!(
        (status.as_u16(), &answer["code"]),
        (503, &json!("QUEUE_FULL")),
        "{answer}"
    );
    cluster
        .redis
        .ask::<String>(&[&limit[..], &["0"]].concat())
        .await;
    let id = server.submit(&short(1)).await;
    server.until(&id, "completed").await;
}
