//! What servers with one Redis show and decide together: health, metrics, the cluster's summary
//! and the limit on requests.

use std::time::{Duration, Instant};

use hyper::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Options, Server};

const PATIENCE: Duration = Duration::from_secs(20);

async fn health(server: &Server) -> Value {
    let (status, text) = server.text("/health/ready").await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The value of a line of Prometheus text.
fn metric(text: &str, name: &str) -> Option<f64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
    lines.find_map(|rest| rest.strip_prefix(' ')?.parse().ok())
}

async fn prometheus(server: &Server) -> String {
    let (status, text) = server.text("/metrics").await;
    assert_eq!(status, 200, "{text}");
    text
}

async fn summary(server: &Server, scope: &str) -> Value {
    let path = format!("monitoring/summary{scope}");
    let (status, mut answer) = server.call(Method::GET, &path, None).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    answer["data"].take()
}

/// The cluster's summary, once it is as it should be.
async fn eventually(server: &Server, mut is: impl FnMut(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let found = summary(server, "?scope=cluster").await;
        if is(&found) {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{found:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_is_seen_in_health_and_metrics() {
    let mut cluster = Cluster::start(1, &Options::default()).await;
    let server = cluster.servers[0].clone();
    let ready = |state: &str| json!({"status": "ready", "redis": {"breaker": state}});
    assert_eq!(health(&server).await, ready("closed"));
    let text = prometheus(&server).await;
    for (state, is) in [("closed", 1.0), ("open", 0.0), ("half-open", 0.0)] {
        let name = format!("sommos_redis_breaker_state{{state=\"{state}\"}}");
        assert_eq!(metric(&text, &name), Some(is), "{text}");
    }
    assert_eq!(
        metric(&text, "sommos_redis_breaker_opened_total"),
        Some(0.0)
    );
    assert!(metric(&text, "sommos_redis_lag_seconds").is_some());
    server.set("k", &json!(1), json!({})).await;
    assert_eq!(server.get("k").await, Some(json!(1)));
    cluster.redis.kill().await;
    let began = Instant::now();
    while health(&server).await == ready("closed") {
        assert!(began.elapsed() < PATIENCE, "it is never seen");
    }
    // Longer than copies are trusted without a sign of life.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(server.get("k").await, Some(json!(1)), "the copy goes on");
    server.set("k", &json!(2), json!({})).await;
    let text = prometheus(&server).await;
    let closed = "sommos_redis_breaker_state{state=\"closed\"}";
    assert_eq!(metric(&text, closed), Some(0.0), "{text}");
    assert_eq!(
        metric(&text, "sommos_redis_breaker_opened_total"),
        Some(1.0)
    );
    assert_eq!(metric(&text, "sommos_redis_replay_waiting"), Some(1.0));
    assert!(metric(&text, "sommos_redis_replay_bytes") > Some(0.0));
    assert!(metric(&text, "sommos_redis_stale_served_total") >= Some(1.0));
    cluster.redis.restart().await;
    server.eventually_closed().await;
    assert_eq!(health(&server).await, ready("closed"));
    let text = prometheus(&server).await;
    assert_eq!(metric(&text, closed), Some(1.0), "{text}");
    assert!(metric(&text, "sommos_redis_reconnects_total") >= Some(1.0));
    assert_eq!(
        metric(&text, "sommos_redis_replayed_writes_total"),
        Some(1.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn either_server_tells_of_both() {
    let options = Options {
        flags: vec!["--monitoring-interval-ms", "200"],
        ..Options::default()
    };
    let mut cluster = Cluster::start(3, &options).await;
    let [a, b] = [cluster.servers[0].clone(), cluster.servers[1].clone()];
    // A server that ends takes itself off the list.
    let instances = |seen: &Value| seen["instances"].as_array().unwrap().len();
    eventually(&a, |seen| instances(seen) == 3).await;
    cluster.servers[2].signal(Signal::TERM);
    let left = eventually(&a, |seen| instances(seen) == 2).await;
    assert_eq!(left["cluster"]["stale"], 0);
    for i in 0..300 {
        let server = if i % 3 == 0 { &a } else { &b };
        server.get("nothing").await;
    }
    // Counts go up only, so what each had is the least that both have together.
    let (of_a, of_b) = (summary(&a, "").await, summary(&b, "?scope=node").await);
    assert!(of_a.get("instances").is_none() && of_b.get("instances").is_none());
    let count = |summary: &Value| summary["application"]["responses"].as_u64().unwrap();
    let least = count(&of_a) + count(&of_b);
    for server in [&a, &b] {
        let both = eventually(server, |seen| count(seen) >= least).await;
        assert_eq!(both["scope"], "cluster");
        let state = json!({"fresh": 2, "stale": 0, "leftOff": 0, "breaker": "closed"});
        assert_eq!(both["cluster"], state);
        let instances = both["instances"].as_array().unwrap();
        let answering = instances.iter().filter(|one| one["answers"] == true);
        assert_eq!((instances.len(), answering.count()), (2, 1));
        assert!(instances[0]["nodeId"].as_str() < instances[1]["nodeId"].as_str());
        assert!(
            instances
                .iter()
                .all(|one| one["stale"] == false && one["jobsActive"] == 0)
        );
        let minute = &both["windows"]["1m"];
        assert!(minute["responses"].as_u64() >= Some(300) && minute["p95Ms"].is_f64());
        let rates = instances
            .iter()
            .map(|one| one["requestsPerSecond"].as_f64().unwrap());
        let (sum, whole) = (
            rates.sum::<f64>(),
            both["application"]["throughput"].as_f64(),
        );
        assert!((sum - whole.unwrap()).abs() < 0.01, "{both:#}");
    }
    let (status, answer) = a
        .call(Method::GET, "monitoring/summary?scope=galaxy", None)
        .await
        .unwrap();
    assert_eq!(
        (status.as_u16(), &answer["code"]),
        (400, &json!("UNKNOWN_NAME"))
    );

    // Redis is away: the last figures of B stay, and are told to be old.
    cluster.redis.kill().await;
    let without = eventually(&a, |seen| seen["cluster"]["stale"] == 1).await;
    assert_ne!(without["cluster"]["breaker"], "closed");
    let old = |seen: &Value| {
        let list = seen["instances"].as_array().unwrap();
        list.iter().find(|one| one["stale"] == true).cloned()
    };
    let of_b = old(&without).unwrap();
    assert!(
        of_b["answers"] == false && of_b["ageMs"].as_u64() > Some(600),
        "{of_b}"
    );
    assert_eq!(without["cluster"]["fresh"], 1);
    cluster.redis.restart().await;
    eventually(&a, |seen| {
        seen["cluster"]["fresh"] == 2 && seen["cluster"]["stale"] == 0
    })
    .await;

    // A server that died is old for a while, then gone.
    b.signal(Signal::KILL);
    eventually(&a, |seen| seen["cluster"]["fresh"] == 1).await;
    let alone = eventually(&a, |seen| instances(seen) == 1).await;
    assert_eq!(alone["cluster"]["stale"], 0);
}

/// Asks servers in turn for so long; how many were admitted, and the slowest answer.
async fn ask_in_turn(servers: &[&Server], time: Duration) -> (u64, u64, Duration, Duration) {
    let (mut admitted, mut refused, mut slowest) = (0, 0, Duration::ZERO);
    let began = Instant::now();
    for i in 0.. {
        if began.elapsed() >= time {
            break;
        }
        let asked = Instant::now();
        let path = "memory/stats";
        let answer = servers[i % servers.len()]
            .call(Method::GET, path, None)
            .await;
        match answer.expect("an answer").0.as_u16() {
            200 => admitted += 1,
            429 => refused += 1,
            other => panic!("{other}"),
        }
        slowest = slowest.max(asked.elapsed());
    }
    (admitted, refused, slowest, began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_on_requests_is_one_for_all_servers() {
    const RATE: u64 = 50;
    let options = Options {
        flags: vec!["--rate-limit", "50"],
        ..Options::default()
    };
    let cluster = Cluster::start(2, &options).await;
    let servers = [&cluster.servers[0], &cluster.servers[1]];
    // What the start asked is forgotten.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let (admitted, refused, slowest, took) = ask_in_turn(&servers, Duration::from_secs(4)).await;
    let one = 2 * RATE + (took.as_secs_f64() * RATE as f64) as u64;
    // A slice is a tenth of what is admitted in a second; each server may hold one.
    let tolerance = 2 * (RATE / 10) + 1;
    println!(
        "two servers admitted {admitted} of {} requests, one would {one} (± {tolerance}); \
         slowest {slowest:?}",
        admitted + refused
    );
    assert!(refused > admitted, "it asks for more than the limit");
    assert!(admitted <= one + tolerance);
    assert!(admitted + tolerance + RATE / 5 >= one);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let mut questions = 0.0;
    for server in servers {
        let text = prometheus(server).await;
        questions += metric(&text, "sommos_rate_limit_questions_total").unwrap();
    }
    println!(
        "{questions} questions to Redis for {} requests",
        admitted + refused
    );
    assert!(
        questions <= 2.0 * 20.0 * 5.0 + 100.0,
        "about twenty a second and server: {questions}"
    );

    // Redis says nothing: each server limits alone, and nobody waits longer than the soft timeout
    // (50 ms) and what the machine takes.
    cluster.redis.signal(Signal::STOP);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (admitted, _, slowest, took) = ask_in_turn(&servers, Duration::from_secs(3)).await;
    let each = 2 * RATE + (took.as_secs_f64() * RATE as f64) as u64;
    println!("without Redis: {admitted} admitted, {each} each at most; slowest {slowest:?}");
    cluster.redis.signal(Signal::CONT);
    assert!(admitted <= 2 * each + 1);
    assert!(
        admitted >= each,
        "none is refused that a server alone admits"
    );
    assert!(slowest < Duration::from_millis(400), "{slowest:?}");
}
