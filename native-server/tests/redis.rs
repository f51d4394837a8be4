//! Several servers with one Redis: real processes, real failures.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[path = "redis/added.rs"]
mod added;
#[path = "redis/balanced.rs"]
mod balanced;
#[path = "redis/batches.rs"]
mod batches;
#[path = "redis/cluster.rs"]
mod cluster;
#[path = "redis/jobs.rs"]
mod jobs;
#[path = "redis/losses.rs"]
mod losses;
#[path = "redis/npm.rs"]
mod npm;
#[path = "redis/streams.rs"]
mod streams;
#[path = "redis/together.rs"]
mod together;
#[path = "redis/work.rs"]
mod work;

use std::time::{Duration, Instant};

use cluster::{Cluster, Options, percentile};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_writes_the_other_reads() {
    let cluster = Cluster::start(2, &Options::default()).await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    a.set("k", &json!([1]), json!({})).await;
    assert_eq!(b.get("k").await, Some(json!([1])));
    // B has a copy now; A's change reaches it.
    a.set("k", &json!([2]), json!({})).await;
    b.eventually("k", Some(json!([2]))).await;
    // Deletes and clears, too.
    assert_eq!(b.delete("k").await, 200);
    a.eventually("k", None).await;
    assert_eq!(a.delete("k").await, 404);
    a.set("k", &json!(3), json!({})).await;
    b.eventually("k", Some(json!(3))).await;
    b.clear().await;
    a.eventually("k", None).await;
    // Large values are packed on the way.
    let large = json!(vec!["a wine of the same kind"; 2000]);
    a.set("large", &large, json!({})).await;
    assert_eq!(b.get("large").await, Some(large));
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_invalidated_everywhere() {
    let cluster = Cluster::start(2, &Options::default()).await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    for key in ["red", "white"] {
        a.set(key, &json!(key), json!({"tags": ["wine", key]}))
            .await;
        b.eventually(key, Some(json!(key))).await;
    }
    b.invalidate("red").await;
    a.eventually("red", None).await;
    assert_eq!(b.get("red").await, None);
    assert_eq!(a.get("white").await, Some(json!("white")));
    a.invalidate("wine").await;
    b.eventually("white", None).await;
    // Written after the barrier: valid.
    b.set("red", &json!(1), json!({"tags": ["red", "wine"]}))
        .await;
    a.eventually("red", Some(json!(1))).await;
}

/// Reads that come together share a question; each still has its own answer.
#[tokio::test(flavor = "multi_thread")]
async fn many_readers_share_questions_and_not_answers() {
    let cluster = Cluster::start(2, &Options::default()).await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    for n in 0..300 {
        let tags = json!({"tags": [format!("tag-{}", n % 7)]});
        a.set(&format!("k{n}"), &json!(n), tags).await;
    }
    a.invalidate("tag-3").await;
    // A key that somebody else wrote as a list: no value, and no harm to the others.
    let epoch: Option<u64> = cluster.redis.ask(&["GET", "sommos:epoch"]).await;
    let name = format!("sommos:v:{}:k8", epoch.unwrap_or(0));
    let _: () = cluster.redis.ask(&["DEL", &name]).await;
    let _: u64 = cluster.redis.ask(&["RPUSH", &name, "x"]).await;
    // The cache's keys: those of the queues come and go on their own.
    let keys = async || -> [Vec<String>; 2] {
        let values: Vec<_> = cluster.redis.ask(&["KEYS", "sommos:[vt]:*"]).await;
        [values, cluster.redis.ask(&["KEYS", "sommos-lock:*"]).await].map(|mut keys| {
            keys.sort();
            keys
        })
    };
    let before = keys().await;
    let readers = (0..300).chain(0..300).map(|n| async move {
        let is = b.get(&format!("k{n}")).await;
        let expected = (n % 7 != 3 && n != 8).then(|| json!(n));
        assert_eq!(is, expected, "k{n}");
    });
    futures_util::future::join_all(readers).await;
    assert_eq!(before, keys().await);
    let stats = b.distributed().await;
    assert_eq!(stats["breaker"], "closed", "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_does_not_outlive_the_value() {
    let cluster = Cluster::start(2, &Options::default()).await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    a.set("k", &json!(1), json!({"ttl": 400})).await;
    let written = Instant::now();
    while written.elapsed() < Duration::from_millis(300) {
        assert_eq!(b.get("k").await, Some(json!(1)));
    }
    tokio::time::sleep_until((written + Duration::from_millis(410)).into()).await;
    assert_eq!((a.get("k").await, b.get("k").await), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_seen_on_the_other_server_soon() {
    let cluster = Cluster::start(2, &Options::default()).await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    let mut delays = Vec::new();
    for i in 0..500 {
        a.set("k", &json!(i), json!({})).await;
        let written = Instant::now();
        while b.get("k").await != Some(json!(i)) {
            assert!(written.elapsed() < Duration::from_secs(5), "never seen");
        }
        delays.push(written.elapsed());
    }
    let p99 = percentile(&mut delays, 0.99);
    println!(
        "a write on A is seen on B: p50 {:?}, p99 {p99:?}",
        percentile(&mut delays, 0.5)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_key_is_loaded_once_over_both_servers() {
    let cluster = Cluster::start(2, &Options::default()).await;
    for round in 0..5 {
        let key = format!("wine-{round}");
        let asks = (0..100).map(|i| {
            let server = cluster.servers[i % 2].clone();
            let key = key.clone();
            tokio::spawn(async move { server.get_or_load(&key).await })
        });
        for ask in asks.collect::<Vec<_>>() {
            assert_eq!(ask.await.unwrap(), Some(json!({"id": round})));
        }
    }
    let loads = cluster.loads().await;
    println!("500 asks for 5 cold keys over two servers read the origin {loads} times");
    assert_eq!(loads, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_never_serves_what_is_older_than_the_bound() {
    let cluster = Cluster::start(2, &Options::default()).await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    for round in 0..3 {
        a.set("k", &json!(round), json!({})).await;
        b.eventually("k", Some(json!(round))).await;
        b.signal(rustix::process::Signal::STOP);
        a.set("k", &json!(100 + round), json!({})).await;
        // Longer than a lease: B must ask before it trusts its copy.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        b.signal(rustix::process::Signal::CONT);
        assert_eq!(b.get("k").await, Some(json!(100 + round)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_connection_is_cut_serves_copies_up_to_the_bound() {
    let options = Options {
        flags: vec!["--redis-stale-ms", "3000"],
        proxied: true,
    };
    let cluster = Cluster::start(2, &options).await;
    let [a, b] = [&cluster.servers[0], &cluster.servers[1]];
    a.set("k", &json!("old"), json!({})).await;
    b.eventually("k", Some(json!("old"))).await;
    cluster.cut(1);
    let cut = Instant::now();
    a.set("k", &json!("new"), json!({})).await;
    let mut last_old = Duration::ZERO;
    while cut.elapsed() < Duration::from_secs(5) {
        let asked = cut.elapsed();
        if b.get("k").await == Some(json!("old")) {
            last_old = asked;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("a copy was served for {last_old:?} after the cut; the bound is 3 s");
    assert!(
        last_old > Duration::from_millis(500),
        "it goes on without Redis"
    );
    assert!(last_old <= Duration::from_millis(3100));
    // Written there meanwhile: replayed when it is back.
    b.set("mine", &json!("b"), json!({})).await;
    cluster.mend(1);
    a.eventually("mine", Some(json!("b"))).await;
    b.eventually("k", Some(json!("new"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_die_come_back_and_stall_under_load() {
    let mut cluster = Cluster::start(2, &Options::default()).await;
    for i in 0..200 {
        cluster.servers[0]
            .set(&format!("k{i}"), &json!(i), json!({}))
            .await;
    }
    let load = cluster.load(200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.redis.kill().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let state = cluster.servers[0].distributed().await;
    // Half-open while it tries.
    assert_ne!(state["breaker"], "closed", "{state}");
    cluster.redis.restart().await;
    cluster.servers[0].eventually_closed().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.redis.signal(rustix::process::Signal::STOP);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let state = cluster.servers[0].distributed().await;
    assert_ne!(state["breaker"], "closed", "{state}");
    cluster.redis.signal(rustix::process::Signal::CONT);
    cluster.servers[0].eventually_closed().await;
    cluster.servers[1].eventually_closed().await;
    let mut report = load.stop().await;
    let stats = cluster.servers[0].distributed().await;
    let (count, p99) = (report.waits.len(), percentile(&mut report.waits, 0.99));
    println!(
        "{} requests, {} failed, slowest {:?}, p99 {:?}; breaker opened {}, reconnects {}",
        count,
        report.failed,
        report.waits[count - 1],
        p99,
        stats["breakerOpened"],
        stats["reconnects"],
    );
    assert_eq!(report.failed, 0);
    assert!(stats["breakerOpened"].as_u64() >= Some(2));
    // What was written during the outage is there, on both.
    let last = report.last_writes;
    assert!(!last.is_empty());
    for (key, value) in last {
        for server in &cluster.servers {
            server.eventually(&key, Some(json!(value))).await;
        }
    }
}
