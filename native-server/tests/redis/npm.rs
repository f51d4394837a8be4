//! Workers and producers of npm's bullmq beside the servers.

use std::{path::PathBuf, process::Stdio, time::Instant};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::{
    cluster::{Cluster, Options},
    work::PATIENCE,
};

/// Runs a script of `tests/redis/node` (its packages: `npm ci` there).
fn node(script: &str, port: u16) -> Child {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/redis/node");
    assert!(
        folder.join("node_modules/bullmq").exists(),
        "npm ci --prefix {}",
        folder.display()
    );
    Command::new("node")
        .arg(folder.join(script))
        .arg(port.to_string())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node is installed")
}

async fn line(child: &mut Child) -> Value {
    let stdout = child.stdout.as_mut().unwrap();
    let mut lines = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
    let line = line.expect("in time").unwrap().expect("a line");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_worker_serves_a_type_of_its_own() {
    let options = Options {
        flags: vec!["--redis-job-types", "label-printing"],
        ..Options::default()
    };
    let cluster = Cluster::start(2, &options).await;
    cluster.shares_jobs().await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    // Declared: accepted though nobody serves it yet. Others are refused as ever.
    let body = json!({"jobType": "label-printing", "data": {"wine": "Barolo"},
        "options": {"timeout": 4000, "retries": 1, "retryDelay": 100}});
    let id = a.submit(&body).await;
    assert!(
        a.try_submit(&json!({"jobType": "brewing", "data": {}}))
            .await
            .is_none()
    );
    let waiting = b.job(&id).await.unwrap();
    assert_eq!(waiting["status"], "queued", "{waiting}");
    assert_eq!(waiting["type"], "label-printing");
    assert_eq!(waiting["options"]["timeout"], 4000);
    let heard = b.events().await;
    let mut worker = node("worker.mjs", cluster.redis.port());
    assert_eq!(line(&mut worker).await, json!("ready"));
    let began = Instant::now();
    // It stays at 40 % until this is seen.
    loop {
        let job = b.job(&id).await.unwrap();
        if job["progress"] == 40 {
            assert_eq!(job["status"], "running");
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{job}");
    }
    let done = b.until(&id, "completed").await;
    assert_eq!(done["result"], json!({"printed": "Barolo", "attempt": 1}));
    // One that fails, is tried again, and fails for good.
    let body = json!({"jobType": "label-printing", "data": {"wine": null},
        "options": {"retries": 1, "retryDelay": 100}});
    let failing = b.submit(&body).await;
    let failed = a.until(&failing, "failed").await;
    assert_eq!(failed["error"], "no wine");
    assert_eq!(
        (&failed["attempts"], &failed["dead"]),
        (&json!(2), &json!(true))
    );
    let began = Instant::now();
    loop {
        let text = heard.lock().unwrap().clone();
        let names = [
            "jobStarted",
            "jobProgress",
            "jobCompleted",
            "jobRetry",
            "jobFailed",
        ];
        if names.iter().all(|name| text.contains(name)) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{text}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_complete_jobs_of_a_node_producer() {
    let cluster = Cluster::start(2, &Options::default()).await;
    cluster.shares_jobs().await;
    let mut producer = node("producer.mjs", cluster.redis.port());
    let answer = line(&mut producer).await;
    assert_eq!(answer["records"], json!([{"n": 2}]));
    assert_eq!(answer["product"], json!([[19, 22], [43, 50]]));
    // It may fail, too, and says why.
    let wrong = answer["wrong"].as_str().unwrap();
    assert!(wrong.contains("data.dataset"), "{answer}");
    assert_eq!(answer["many"], 200, "{answer}");
}
