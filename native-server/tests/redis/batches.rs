//! Batches over several servers.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::cluster::{Cluster, Options, PATIENCE, Server};

const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";
/// A worker that died is noticed soon. Redis may take its time: it shares two cores and a disk.
const FLAGS: [&str; 4] = [
    "--redis-job-lease-ms",
    "1000",
    "--redis-hard-timeout-ms",
    "5000",
];

/// Servers whose queues are connected.
async fn cluster(servers: usize) -> Cluster {
    let options = Options {
        flags: FLAGS.to_vec(),
        ..Options::default()
    };
    let cluster = Cluster::start(servers, &options).await;
    for server in &cluster.servers {
        let began = Instant::now();
        loop {
            let id = submit(server, json!({"data": [1]})).await;
            ended(server, &id).await;
            let key = format!("sommos:b:{id}");
            if cluster.redis.number(&["EXISTS", &key]).await == 1 {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "its queue is not shared");
        }
    }
    cluster
}

fn records(count: usize) -> Vec<Value> {
    (0..count)
        .map(|i| json!({"id": i, "vintage": 1900 + i % 120, "name": format!("wine {i}")}))
        .collect()
}

fn lines(records: &[Value]) -> Bytes {
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    lines.join("\n").into()
}

/// A batch sent line by line, while its first chunks run already.
async fn stream(server: &Server, records: Bytes, query: &str) -> String {
    let path = format!("batch/process?{query}");
    let (status, body) = server
        .send(Method::POST, &path, [NDJSON, JSON], records)
        .await;
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 200, "{answer}");
    answer["batchId"].as_str().unwrap().to_owned()
}

async fn submit(server: &Server, body: Value) -> String {
    let answer = server.call(Method::POST, "batch/process", Some(body)).await;
    let (status, answer) = answer.unwrap();
    assert_eq!(status, 200, "{answer}");
    answer["batchId"].as_str().unwrap().to_owned()
}

/// What a server says of a batch, as soon as it can tell.
async fn book(server: &Server, id: &str) -> Value {
    let (path, began) = (format!("batch/{id}"), Instant::now());
    loop {
        let (status, mut answer) = server.call(Method::GET, &path, None).await.unwrap();
        if status == 200 {
            return answer["data"].take();
        }
        // Redis is away, or has just come back.
        assert_eq!(status, 503, "{answer}");
        assert!(began.elapsed() < PATIENCE, "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ended(server: &Server, id: &str) -> Value {
    let began = Instant::now();
    loop {
        let book = book(server, id).await;
        if !["queued", "running"].contains(&book["status"].as_str().unwrap()) {
            return book;
        }
        assert!(began.elapsed() < PATIENCE * 3, "{book}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn next(events: &mut UnboundedReceiver<(String, Value)>) -> Option<(String, Value)> {
    let next = tokio::time::timeout(PATIENCE, events.recv()).await;
    next.expect("an event in time")
}

/// All results, as they come.
async fn results(server: &Server, id: &str) -> Bytes {
    let path = format!("batch/{id}/results");
    let (status, body) = server
        .send(Method::GET, &path, [JSON, NDJSON], Bytes::new())
        .await;
    assert_eq!(status, 200);
    body
}

/// Runs a batch to its end; gives its results and how long it took.
async fn run(to: &Server, from: &Server, records: Bytes, query: &str) -> (Bytes, Duration) {
    let began = Instant::now();
    let id = stream(to, records, query).await;
    let book = ended(from, &id).await;
    let took = began.elapsed();
    assert_eq!(book["status"], "completed", "{book}");
    (results(from, &id).await, took)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_items_give_the_same_bytes_over_two_servers_as_over_one() {
    const ITEMS: usize = 1_000_000;
    let query = "batchSize=10000";
    let input = lines(&records(ITEMS));
    let one = cluster(1).await;
    let alone = one.alone().await;
    let rate = |took: Duration| ITEMS as f64 / took.as_secs_f64();
    let (wanted, took) = run(&alone, &alone, input.clone(), query).await;
    println!("embedded queue: {:.0} items/s", rate(took));
    let server = &one.servers[0];
    let (found, took) = run(server, server, input.clone(), query).await;
    println!("one server with Redis: {:.0} items/s", rate(took));
    assert!(found == wanted, "other bytes over one server");
    drop((one, alone));
    let two = cluster(2).await;
    let [a, b] = [&two.servers[0], &two.servers[1]];
    let (found, took) = run(a, b, input, query).await;
    println!("two servers with Redis: {:.0} items/s", rate(took));
    assert!(found == wanted, "other bytes over two servers");
    assert_eq!(wanted.iter().filter(|byte| **byte == b'\n').count(), ITEMS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_outlives_a_server_that_is_killed() {
    let cluster = cluster(2).await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    let records = records(200_000);
    let (wanted, _) = run(b, b, lines(&records), "batchSize=500").await;
    let body = json!({"data": records, "options": {"batchSize": 500, "maxConcurrency": 8}});
    let id = submit(a, body).await;
    let began = Instant::now();
    while book(b, &id).await["completedChunks"].as_u64() < Some(20) {
        assert!(began.elapsed() < PATIENCE, "it does not run");
    }
    a.signal(Signal::KILL);
    let killed = Instant::now();
    let left = 400 - book(b, &id).await["completedChunks"].as_u64().unwrap();
    assert_eq!(ended(b, &id).await["completedChunks"], 400);
    println!(
        "killed with {left} of 400 chunks to go: done {:?} later",
        killed.elapsed()
    );
    assert!(results(b, &id).await == wanted, "other bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_outlives_redis() {
    let mut cluster = cluster(2).await;
    let records = records(100_000);
    let (a, b) = (cluster.servers[0].clone(), cluster.servers[1].clone());
    let (wanted, _) = run(&b, &b, lines(&records), "batchSize=250").await;
    let body = json!({"data": records, "options": {"batchSize": 250}});
    let id = submit(&a, body).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    cluster.redis.kill().await;
    // Nothing is refused meanwhile.
    let meanwhile = submit(&a, json!({"data": [1, 2, 3]})).await;
    assert_eq!(ended(&a, &meanwhile).await["status"], "completed");
    cluster.redis.restart().await;
    assert_eq!(ended(&b, &id).await["completedChunks"], 400);
    book(&b, &id).await;
    assert!(results(&b, &id).await == wanted, "other bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_began_the_other_cancels() {
    let cluster = cluster(2).await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    let body =
        json!({"data": records(100_000), "options": {"batchSize": 100, "maxConcurrency": 2}});
    let id = submit(a, body).await;
    let path = format!("batch/{id}");
    let (status, answer) = b.call(Method::DELETE, &path, None).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let first = book(a, &id).await;
    assert_eq!(first["status"], "cancelled");
    let (status, _) = b.call(Method::DELETE, &path, None).await.unwrap();
    assert_eq!(status, 409);
    // Nothing of it goes on, and its place is free.
    let next = submit(b, json!({"data": records(10), "options": {"batchSize": 1}})).await;
    assert_eq!(ended(a, &next).await["completedChunks"], 10);
    assert_eq!(book(b, &id).await, first);
    let (_, answer) = a.call(Method::GET, "batch/metrics", None).await.unwrap();
    let metrics = &answer["data"];
    assert_eq!(metrics["cancelledBatches"], 1, "{metrics}");
    assert_eq!(
        (&metrics["activeBatches"], &metrics["queueSize"]),
        (&json!(0), &json!(0)),
        "{metrics}"
    );
}

/// Ten chunks of ten, of which the fourth is bad.
fn one_bad(more: Value) -> Value {
    let mut data: Vec<Value> = (0..100).map(|i| json!({"a": i * i})).collect();
    data[35] = json!({"a": "x"});
    let root = json!({"a": {"type": "sqrt"}});
    let mut options = json!({"batchSize": 10});
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    let operations = json!([{"type": "transform", "transform": root}]);
    let processor = json!({"name": "data_processing", "operations": operations});
    json!({"data": data, "processor": processor, "options": options})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_chunk_fails_alone_or_ends_all() {
    let cluster = cluster(2).await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    let id = submit(a, one_bad(json!({}))).await;
    let found = ended(b, &id).await;
    assert_eq!(found["status"], "completed");
    assert_eq!(
        (&found["completedChunks"], &found["failedChunks"]),
        (&json!(9), &json!(1))
    );
    assert_eq!(found["errors"][0]["chunk"], 3, "{found}");
    assert_eq!(found["processedItems"], 90);
    pages(b, &id).await;

    let id = submit(
        a,
        one_bad(json!({"stopOnError": true, "maxConcurrency": 1})),
    )
    .await;
    let found = ended(b, &id).await;
    assert_eq!(found["status"], "failed");
    assert_eq!(
        (&found["completedChunks"], &found["failedChunks"]),
        (&json!(3), &json!(1))
    );
    let error = found["error"].as_str().unwrap();
    assert!(error.starts_with("chunk 3 failed: "), "{error}");
}

/// The results of [`one_bad`], three chunks at a time.
async fn pages(server: &Server, id: &str) {
    let (mut next, mut items) = (json!(0), Vec::new());
    let mut bad = Vec::new();
    while let Some(from) = next.as_u64() {
        let path = format!("batch/{id}/results?chunk={from}&limit=3");
        let (status, answer) = server.call(Method::GET, &path, None).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        for chunk in answer["data"]["chunks"].as_array().unwrap() {
            match chunk["items"].as_array() {
                Some(some) => items.extend(some.iter().map(|item| item["a"].as_u64().unwrap())),
                None => bad.push(chunk["chunk"].as_u64().unwrap()),
            }
        }
        next = answer["data"]["nextChunk"].clone();
    }
    let wanted: Vec<u64> = (0..100).filter(|i| !(30..40).contains(i)).collect();
    assert_eq!((items, bad), (wanted, vec![3]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_tells_of_every_batch() {
    let cluster = cluster(2).await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    let mut heard = Vec::new();
    for server in [a, b] {
        heard.push(server.listen().await);
    }
    let id = submit(
        a,
        json!({"data": records(70), "options": {"batchSize": 10}}),
    )
    .await;
    for events in &mut heard {
        let mut counts = BTreeMap::new();
        while let Some((name, fields)) = next(events).await {
            if fields["id"] != json!(id) {
                continue;
            }
            *counts.entry(name.clone()).or_insert(0) += 1;
            if name == "batchCompleted" {
                break;
            }
        }
        let wanted = [
            ("batchCompleted", 1),
            ("batchProgress", 7),
            ("batchQueued", 1),
            ("batchStarted", 1),
        ];
        assert_eq!(counts, wanted.map(|(name, n)| (name.to_owned(), n)).into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_never_sealed_ends_with_its_server() {
    let cluster = cluster(2).await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    let mut events = b.listen().await;
    let sending = a.send_and_wait("batch/process?batchSize=10", NDJSON, lines(&records(55)));
    let sending = tokio::spawn(sending);
    let id = loop {
        let (name, fields) = next(&mut events).await.expect("events");
        if name != "batchProgress" {
            continue;
        }
        let id = fields["id"].as_str().unwrap().to_owned();
        // The batch of one record by which `cluster` tried the queue may be told of late.
        if book(b, &id).await["totalItems"] != 1 {
            break id;
        }
    };
    assert_eq!(book(b, &id).await["status"], "running");
    a.signal(Signal::KILL);
    let found = ended(b, &id).await;
    assert_eq!(found["status"], "failed");
    let error = "interrupted before all its chunks were there";
    assert_eq!(found["error"], error);
    sending.abort();
}
