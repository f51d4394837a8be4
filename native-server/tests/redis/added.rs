//! Jobs that came at once stand in Redis as BullMQ would have added them.

use std::collections::BTreeMap;

use bullmq::{JobOptions, Queue, QueueOptions, options::RedisConnectionOptions};
use futures_util::future::join_all;
use redis::streams::StreamRangeReply;
use serde_json::{Value, json};

use super::{
    cluster::{Cluster, Options, Redis},
    work::{short, short_result, with},
};

/// The id of the job that BullMQ's own command adds.
const OWN: &str = "own";

/// The jobs of a server in Redis.
struct Stored<'a> {
    redis: &'a Redis,
    base: String,
}

impl Stored<'_> {
    async fn queue(&self) -> Queue {
        let url = format!("redis://127.0.0.1:{}", self.redis.port());
        let options = QueueOptions::new()
            .prefix(self.base.strip_suffix(":jobs").unwrap())
            .connection(RedisConnectionOptions::new().url(url));
        Queue::with_options("jobs", options).await.unwrap()
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.base)
    }

    async fn fields(&self, id: &str) -> BTreeMap<String, String> {
        self.redis.ask(&["HGETALL", &self.key(id)]).await
    }

    async fn counted(&self, name: &str) -> u64 {
        let counted: Option<u64> = self.redis.ask(&["GET", &self.key(name)]).await;
        counted.unwrap_or(0)
    }

    /// What waits, in its order, and the places in it that were given.
    async fn line(&self) -> (Vec<String>, Vec<u64>) {
        let line = ["ZRANGE", &self.key("prioritized"), "0", "-1", "WITHSCORES"];
        let line: Vec<(String, f64)> = self.redis.ask(&line).await;
        let (ids, scores): (Vec<_>, Vec<_>) = line.into_iter().unzip();
        let mut places: Vec<_> = scores.iter().map(|s| *s as u64 % (1 << 32)).collect();
        places.sort_unstable();
        (ids, places)
    }

    /// What was told of a job: the names and values of each event, without its id.
    async fn told(&self, id: &str) -> Vec<BTreeMap<String, String>> {
        let events = ["XRANGE", &self.key("events"), "-", "+"];
        let events: StreamRangeReply = self.redis.ask(&events).await;
        let text = |value| redis::from_redis_value::<String>(value).unwrap();
        let events = events.ids.into_iter().map(|event| {
            let fields = event.map.into_iter();
            fields.map(|(name, value)| (name, text(value))).collect()
        });
        let mut events: Vec<BTreeMap<_, _>> = events.collect();
        events.retain_mut(|event| event.remove("jobId").is_some_and(|of| of == id));
        events
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_added_together_are_as_bullmq_adds_them() {
    let cluster = Cluster::start(1, &Options::default()).await;
    cluster.shares_jobs().await;
    let (server, redis) = (&cluster.servers[0], &cluster.redis);
    let meta: Vec<String> = redis.ask(&["KEYS", "*:jobs:meta"]).await;
    let base = meta[0].strip_suffix(":meta").unwrap().to_owned();
    let stored = Stored { redis, base };
    let queue = stored.queue().await;
    queue.pause().await.unwrap();
    let first = 1 + stored.counted("pc").await;
    let counted = stored.counted("id").await;

    let body = |n: u64| with(short(n), json!({"priority": n % 3}));
    let bodies: Vec<_> = (0..50).map(body).collect();
    let ids = join_all(bodies.iter().map(|body| server.submit(body))).await;
    let mut ours = stored.fields(&ids[4]).await;
    let options: JobOptions = serde_json::from_str(&ours["opts"]).unwrap();
    let data: Value = serde_json::from_str(&ours["data"]).unwrap();
    let own = queue.add(&ours["name"], data);
    own.options(options.job_id(OWN)).await.unwrap();
    let mut theirs = stored.fields(OWN).await;

    let [our_options, mut their_options] = [&mut ours, &mut theirs].map(|fields| -> Value {
        assert!(fields.remove("timestamp").is_some());
        serde_json::from_str(&fields.remove("opts").unwrap()).unwrap()
    });
    their_options["jobId"] = ids[4].as_str().into();
    assert_eq!(our_options, their_options);
    assert_eq!(ours, theirs);

    // Higher first, in turn among equals; BullMQ counts on from ours.
    let (line, places) = stored.line().await;
    assert_eq!(places, (first..first + 51).collect::<Vec<_>>());
    let priority = |id: &String| {
        ids.iter()
            .position(|known| known == id)
            .map_or(1, |n| n % 3)
    };
    let priorities: Vec<_> = line.iter().map(priority).collect();
    assert!(priorities.is_sorted_by(|a, b| a >= b), "{priorities:?}");
    assert_eq!(line.iter().rfind(|id| priority(id) == 1).unwrap(), OWN);

    assert_eq!(stored.counted("id").await, counted + 51);

    let told = stored.told(OWN).await;
    assert_eq!((told.len(), &told), (2, &stored.told(&ids[4]).await));

    queue.resume().await.unwrap();
    for (n, id) in (0..).zip(&ids) {
        assert_eq!(
            server.until(id, "completed").await["result"],
            short_result(n)
        );
    }
}
