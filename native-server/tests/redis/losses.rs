//! Nothing that was acknowledged is lost: servers and Redis die and stall under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;

use super::{
    cluster::{Cluster, Options, Server, percentile},
    work::{short, short_result, with},
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
    let before = cluster.redis.number(&["ZCARD", "sommos:jobs:completed"]).await;
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
    let completed = cluster.redis.number(&["ZCARD", "sommos:jobs:completed"]).await - before;
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

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_job_is_lost_with_redis() {
    let options = Options {
        flags: vec!["--redis-job-lease-ms", "2000"],
        ..Options::default()
    };
    let mut cluster = Cluster::start(2, &options).await;
    cluster.shares_jobs().await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let server = cluster.servers[client % 2].clone();
            let stop = Arc::clone(&stop);
            tokio::spawn(submit_until(server, client as u64, stop))
        })
        .collect();
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
    stop.store(true, Ordering::Relaxed);
    let (mut waits, mut jobs, mut refused) = (Vec::new(), 0, 0);
    let drained = Instant::now();
    for (client, task) in clients.into_iter().enumerate() {
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
        "Redis killed and stalled: {jobs} jobs acknowledged, 0 lost, {refused} refused; slowest \
         answer {slowest:?}, p99 {p99:?}; all ended {:?} after the last",
        drained.elapsed()
    );
    assert_eq!(refused, 0);
    // The hard timeout is 500 ms; the rest is this machine's.
    assert!(slowest < Duration::from_millis(1500), "{slowest:?}");
}
