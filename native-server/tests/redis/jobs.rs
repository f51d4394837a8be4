//! Jobs of several servers are as those of one.

use std::time::{Duration, Instant};

use hyper::Method;
use rustix::process::Signal;
use serde_json::json;

use super::{
    cluster::{Cluster, Options},
    work::{long, short, short_result, with},
};

const ONE_WORKER: [&str; 2] = ["--workers-max", "1"];

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_known_on_every_server() {
    let options = Options {
        flags: vec!["--redis-job-bytes", "65536"],
        ..Options::default()
    };
    let cluster = Cluster::start(2, &options).await;
    cluster.shares_jobs().await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    let (heard_a, heard_b) = (a.events().await, b.events().await);
    let id = a.submit(&short(7)).await;
    let done = b.until(&id, "completed").await;
    assert_eq!(done["result"], short_result(7));
    assert_eq!(done, a.until(&id, "completed").await);
    let listed = b.call(Method::GET, "async/jobs?limit=1", None).await;
    assert_eq!(listed.unwrap().1["data"][0]["id"], id.as_str());
    assert_eq!(b.cancel(&id).await, 409);
    let (from_a, from_b) = (a.metrics().await, b.metrics().await);
    assert_eq!(
        from_a["processingTimes"], from_b["processingTimes"],
        "{from_a}"
    );
    assert_eq!(from_a["completedJobs"], from_b["completedJobs"], "{from_b}");
    // Too much for Redis is said, not tried.
    let large = "x".repeat(70_000);
    let body = json!({"jobType": "data_processing", "data": {"dataset": [{"n": large}],
        "operations": []}});
    let (status, answer) = a.call(Method::POST, "async/job", Some(body)).await.unwrap();
    assert_eq!(
        (status.as_u16(), &answer["code"]),
        (413, &json!("TOO_LARGE")),
        "{answer}"
    );
    // Matrices are there in every form.
    let product = json!({"jobType": "matrix_multiplication", "data":
        {"matrixA": [[0.1, 2.0]], "matrixB": [[3.0], [1e-300]]}});
    let id = b.submit(&product).await;
    let done = a.until(&id, "completed").await;
    assert_eq!(done["result"], json!([[0.1 * 3.0 + 2.0 * 1e-300]]));
    for heard in [heard_a, heard_b] {
        let began = Instant::now();
        loop {
            let text = heard.lock().unwrap().clone();
            let names = ["jobQueued", "jobStarted", "jobCompleted"];
            if names.iter().all(|name| text.contains(name)) && text.contains(&id) {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_delays_retries_and_priorities_hold_over_servers() {
    let options = Options {
        flags: ONE_WORKER.to_vec(),
        ..Options::default()
    };
    let cluster = Cluster::start(2, &options).await;
    cluster.shares_jobs().await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    // The same key on both: one job, also when it has ended.
    let keyed = with(short(1), json!({"idempotencyKey": "k", "delay": 300}));
    let first = a.submit(&keyed).await;
    let again = b.try_submit(&keyed).await.unwrap();
    assert_eq!(again["data"]["jobId"], first.as_str());
    assert_eq!(again["data"]["deduplicated"], true);
    let done = b.until(&first, "completed").await;
    let waited = done["startedAt"].as_u64().unwrap() - done["createdAt"].as_u64().unwrap();
    assert!(waited >= 300, "{done}");
    let ended = b.try_submit(&keyed).await.unwrap();
    assert_eq!(ended["data"]["status"], "completed");

    // A time limit, one retry, then a dead letter.
    let limited = with(
        long(1000),
        json!({"timeout": 200, "retries": 1, "retryDelay": 1000}),
    );
    let id = a.submit(&limited).await;
    let began = Instant::now();
    loop {
        let job = b.job(&id).await.unwrap();
        if job["status"] == "queued" && job["attempts"] == 1 {
            assert!(job["nextAttemptAt"].is_u64(), "{job}");
            assert_eq!(job["error"], "timed out after 200 ms");
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{job}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let dead = b.until(&id, "failed").await;
    assert_eq!(dead["error"], "timed out after 200 ms");
    assert_eq!(
        (&dead["dead"], &dead["attempts"]),
        (&json!(true), &json!(2))
    );

    // Both workers are taken; what waits starts by priority.
    let busy = [a.submit(&long(1000)).await, b.submit(&long(1000)).await];
    for id in &busy {
        a.until(id, "running").await;
    }
    let mut waiting = Vec::new();
    for priority in [1, 0, 1_000_000, 5] {
        let body = with(short(priority), json!({"priority": priority}));
        waiting.push((priority, a.submit(&body).await));
    }
    waiting.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    for (place, (priority, id)) in waiting.iter().enumerate() {
        let job = b.job(id).await.unwrap();
        assert_eq!(job["position"], place, "{job}");
        assert_eq!(job["options"]["priority"], *priority);
    }
    // One of the two is free: it takes them one after the other.
    assert_eq!(b.cancel(&busy[0]).await, 200);
    let mut starts = Vec::new();
    for (_, id) in &waiting {
        let done = a.until(id, "completed").await;
        starts.push(done["startedAt"].as_u64().unwrap());
    }
    assert!(starts.is_sorted(), "{starts:?}");
    assert_eq!(b.cancel(&busy[1]).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_the_server_that_runs_the_job() {
    let options = Options {
        flags: ONE_WORKER.to_vec(),
        ..Options::default()
    };
    let cluster = Cluster::start(2, &options).await;
    cluster.shares_jobs().await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    // One for each worker, both cancelled through B.
    let ids = [a.submit(&long(1000)).await, a.submit(&long(1000)).await];
    for id in &ids {
        a.until(id, "running").await;
    }
    let began = Instant::now();
    for id in &ids {
        assert_eq!(b.cancel(id).await, 200);
        let job = a.job(id).await.unwrap();
        assert_eq!(job["status"], "cancelled", "{job}");
        assert!(job["completedAt"].is_u64() && job["failedAt"].is_null());
    }
    let mut next = Vec::new();
    for number in 0..8 {
        next.push(a.submit(&short(number)).await);
    }
    for id in &next {
        b.until(id, "completed").await;
    }
    println!(
        "both slots were free and had run 8 jobs {:?} after the cancel",
        began.elapsed()
    );
    for server in [a, b] {
        let metrics = server.metrics().await;
        assert_eq!(metrics["cancelledJobs"], 2, "{metrics}");
        assert_eq!(metrics["activeJobs"], 0, "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_late_report_of_a_stopped_server_is_refused() {
    let options = Options {
        flags: [&ONE_WORKER[..], &["--redis-job-lease-ms", "1000"]].concat(),
        ..Options::default()
    };
    let cluster = Cluster::start(2, &options).await;
    cluster.shares_jobs().await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    b.signal(Signal::STOP);
    let id = a.submit(&long(60)).await;
    a.until(&id, "running").await;
    a.signal(Signal::STOP);
    let stopped = Instant::now();
    b.signal(Signal::CONT);
    let done = b.until(&id, "completed").await;
    println!(
        "taken over and done {:?} after its server stopped",
        stopped.elapsed()
    );
    assert_eq!(done["attempts"], 2, "{done}");
    a.signal(Signal::CONT);
    // A job after it: A has reported by then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(a.job(&id).await.unwrap(), done);
    let completed = ["HGET", "sommos:jobs:metrics:completed", "count"];
    // Two of the beginning, and this one once.
    let counted = cluster.redis.number(&completed).await;
    let kept = cluster
        .redis
        .number(&["ZCARD", "sommos:jobs:completed"])
        .await;
    assert_eq!(counted, kept);
}
