//! Work for a server that will be killed: jobs and batches whose right results are known, and the
//! memory of what was acknowledged.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use sommos_core::rng::Rng;

use super::{
    http::{Client, text},
    server::{Folder, Server},
};

/// Jobs of the slow kinds: their bodies, and their results on an undisturbed server.
const SLOW: usize = 4;
/// Waits between two submissions of one client, at most, milliseconds.
const PAUSE_MS: u64 = 4;
/// Of a hundred submissions: slow jobs, and batches. The rest are quick jobs.
const SLOW_PERCENT: u64 = 2;
const BATCH_PERCENT: u64 = 10;
/// No attempt is the last: only the server's end may interrupt these jobs.
const OPTIONS: &str = r#""options":{"retries":100,"retryDelay":20}"#;

/// Clients that submit at once.
const CLIENTS: u64 = 4;

/// Runs `rounds` while clients submit; what a client could not do fails the check.
pub(crate) fn under_load(
    seed: u64,
    rounds: impl FnOnce(&Load) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let load = {
        let folder = Folder::new()?;
        Load::new(Slow::measure(&Server::start(folder.path(), &[])?)?)
    };
    thread::scope(|scope| {
        let load = &load;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| scope.spawn(move || load.client(seed + n)))
            .collect();
        let result = rounds(load);
        load.stop();
        for client in clients {
            client
                .join()
                .map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        result
    })
}

/// What an acknowledged id must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A quick job with this number in it.
    Quick(u64),
    /// The slow job of this index.
    Slow(usize),
    /// A batch of the built-in processor, beginning with this number.
    Marked(u64),
    /// A batch of a function, beginning with this number.
    Scripted(u64),
}

/// Bodies of slow jobs with their results.
pub(crate) struct Slow(Vec<(String, Value)>);

impl Slow {
    /// Makes the bodies and asks a server of its own for their results.
    pub(crate) fn measure(server: &Server) -> anyhow::Result<Self> {
        let mut slow = Vec::new();
        let mut client = server.client();
        for n in 0..SLOW as u64 {
            let body = similarity(n);
            let began = Instant::now();
            let answer = client.post("/api/performance/async/job", &body)?.ok()?;
            let id = text(&answer["jobId"]);
            let job = wait(&mut client, &id, Duration::from_secs(60))?;
            ensure!(job["status"] == "completed", "slow job {n}: {job}");
            println!(
                "  slow job {n}: {:.0} ms alone",
                began.elapsed().as_secs_f64() * 1e3
            );
            slow.push((body, job["result"].clone()));
        }
        Ok(Self(slow))
    }
}

/// All pairs of 800 to 1700 entities with 60 ratings each that are no multiples of 1/8.
fn similarity(seed: u64) -> String {
    let mut rng = Rng::new(seed);
    let (mut users, mut items, mut ratings) = (Vec::new(), Vec::new(), Vec::new());
    for user in 0..800 + 300 * seed {
        for step in 0..60u64 {
            users.push(user);
            items.push(step * 5 + rng.below(5));
            ratings.push((rng.below(40_000) + 10_000) as f64 / 1e4 + 1e-5);
        }
    }
    let data = json!({"users": users, "items": items, "ratings": ratings, "algorithm": "pearson",
        "options": {"minSimilarity": -2, "limit": 50}});
    format!(r#"{{"jobType":"similarity_calculation",{OPTIONS},"data":{data}}}"#)
}

fn quick(n: u64) -> String {
    let data = json!({"dataset": [{"v": n, "g": "a"}, {"v": 1, "g": "b"}],
        "operations": [{"type": "filter", "criteria": {"g": "a"}},
            {"type": "transform", "transform": {"v": {"type": "multiply", "value": 2}}}]});
    format!(r#"{{"jobType":"data_processing",{OPTIONS},"data":{data}}}"#)
}

fn batch(first: u64, processor: Option<&str>) -> String {
    let data: Vec<Value> = (first..first + 100).map(|v| json!({"v": v})).collect();
    let mut body = json!({"data": data, "options": {"batchSize": 10}});
    if let Some(source) = processor {
        body["processor"] = source.into();
    }
    body.to_string()
}

const SOURCE: &str = "chunk => chunk.map(x => ({v: x.v * 3}))";

impl Expected {
    fn is_batch(self) -> bool {
        matches!(self, Self::Marked(_) | Self::Scripted(_))
    }

    fn body(self, slow: &Slow) -> String {
        match self {
            Self::Quick(n) => quick(n),
            Self::Slow(n) => slow.0[n].0.clone(),
            Self::Marked(n) => batch(n, None),
            Self::Scripted(n) => batch(n, Some(SOURCE)),
        }
    }

    fn result(self, slow: &Slow) -> Value {
        let range = |n: u64| n..n + 100;
        match self {
            Self::Quick(n) => json!([{"v": 2 * n, "g": "a"}]),
            Self::Slow(n) => slow.0[n].1.clone(),
            Self::Marked(n) => range(n)
                .map(|v| json!({"v": v, "processed": true}))
                .collect(),
            Self::Scripted(n) => range(n).map(|v| json!({"v": 3 * v})).collect(),
        }
    }
}

/// Equal, numbers compared by their values: 2 and 2.0 are the same.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}

/// What the clients share.
pub(crate) struct Load {
    slow: Slow,
    address: RwLock<Option<SocketAddr>>,
    acknowledged: Mutex<Vec<(String, Expected)>>,
    stop: AtomicBool,
}

impl Load {
    /// Nothing acknowledged yet, no server yet.
    pub(crate) fn new(slow: Slow) -> Self {
        Self {
            slow,
            address: RwLock::new(None),
            acknowledged: Mutex::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// Where the clients send to from now on.
    pub(crate) fn aim(&self, address: Option<SocketAddr>) {
        *self.address.write().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// Ends the clients.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Everything acknowledged so far.
    pub(crate) fn acknowledged(&self) -> Vec<(String, Expected)> {
        self.acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// One client: submits until it is stopped, and remembers what was acknowledged. An answer that
    /// is no acknowledgement must be a refusal because of the end of the server.
    pub(crate) fn client(&self, seed: u64) -> anyhow::Result<()> {
        let mut rng = Rng::new(seed);
        let mut connection: Option<(SocketAddr, Client)> = None;
        while !self.stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_micros(rng.below(PAUSE_MS * 1000)));
            let aimed = *self.address.read().unwrap_or_else(PoisonError::into_inner);
            let Some(address) = aimed else { continue };
            if connection.as_ref().is_none_or(|c| c.0 != address) {
                connection = Some((address, Client::new(address)));
            }
            let Some((_, client)) = &mut connection else {
                continue;
            };
            let number = rng.below(1 << 40);
            let expected = match rng.below(100) {
                p if p < SLOW_PERCENT => Expected::Slow(rng.below(SLOW as u64) as usize),
                p if p < SLOW_PERCENT + BATCH_PERCENT => match rng.below(2) {
                    0 => Expected::Marked(number),
                    _ => Expected::Scripted(number),
                },
                _ => Expected::Quick(number),
            };
            let (path, field) = match expected.is_batch() {
                true => ("/api/performance/batch/process", "batchId"),
                false => ("/api/performance/async/job", "jobId"),
            };
            // A broken connection acknowledges nothing.
            let Ok(answer) = client.post(path, expected.body(&self.slow)) else {
                continue;
            };
            match answer.status {
                200 => {
                    let id = text(&answer.json()[field]);
                    ensure!(!id.is_empty(), "an acknowledgement without an id");
                    let mut known = self
                        .acknowledged
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    known.push((id, expected));
                }
                503 => thread::sleep(Duration::from_millis(5)),
                status => bail!("{status}: {}", String::from_utf8_lossy(&answer.body)),
            }
        }
        Ok(())
    }

    /// Waits until everything acknowledged has ended, each with its right result.
    pub(crate) fn verify(&self, server: &Server, patience: Duration) -> anyhow::Result<Outcome> {
        let mut client = server.client();
        let mut outcome = Outcome::default();
        let deadline = Instant::now() + patience;
        let mut seen = HashMap::new();
        for (id, expected) in self.acknowledged() {
            ensure!(
                seen.insert(id.clone(), ()).is_none(),
                "{id} was given twice"
            );
            let found = loop {
                match fetch(&mut client, &id)? {
                    None => break None,
                    Some(job) if ended(&job) => break Some(job),
                    Some(job) => {
                        ensure!(Instant::now() < deadline, "never ended: {job}");
                        thread::sleep(Duration::from_millis(5));
                    }
                }
            };
            let Some(job) = found else {
                outcome.lost.push(id);
                continue;
            };
            outcome.batches += u64::from(expected.is_batch());
            outcome.jobs += u64::from(!expected.is_batch());
            outcome.interrupted += u64::from(job["attempts"].as_u64() > Some(1));
            let right = job["status"] == "completed"
                && same(&job["result"], &Value::Null) == expected.is_batch()
                && same(
                    if expected.is_batch() {
                        &job["results"]
                    } else {
                        &job["result"]
                    },
                    &expected.result(&self.slow),
                );
            if !right {
                let shown: String = job.to_string().chars().take(600).collect();
                outcome.wrong.push(format!("{expected:?}: {shown}"));
            }
        }
        Ok(outcome)
    }
}

/// What became of what was acknowledged.
#[derive(Default, Debug)]
pub(crate) struct Outcome {
    /// Jobs that ended.
    pub(crate) jobs: u64,
    /// Batches that ended.
    pub(crate) batches: u64,
    /// Jobs that needed more than one attempt.
    pub(crate) interrupted: u64,
    /// Ids that nobody knows any more.
    pub(crate) lost: Vec<String>,
    /// Those without their right result.
    pub(crate) wrong: Vec<String>,
}

impl Outcome {
    /// Nothing lost, nothing wrong.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.lost.is_empty(),
            "{} lost, such as {:?}",
            self.lost.len(),
            self.lost.first()
        );
        ensure!(
            self.wrong.is_empty(),
            "{} wrong, such as {:?}",
            self.wrong.len(),
            self.wrong.first()
        );
        Ok(())
    }
}

/// A job or batch by its id; `None` for 404.
pub(crate) fn fetch(client: &mut Client, id: &str) -> anyhow::Result<Option<Value>> {
    let path = match id.starts_with("batch") {
        true => format!("/api/performance/batch/{id}"),
        false => format!("/api/performance/async/job/{id}"),
    };
    let answer = client.get(&path)?;
    if answer.status == 404 {
        return Ok(None);
    }
    Ok(Some(answer.ok()?["data"].clone()))
}

/// Whether a job's or batch's status is one of the last.
pub(crate) fn ended(job: &Value) -> bool {
    matches!(
        job["status"].as_str(),
        Some("completed" | "failed" | "cancelled")
    )
}

/// Waits for a job's or batch's end.
pub(crate) fn wait(client: &mut Client, id: &str, patience: Duration) -> anyhow::Result<Value> {
    let began = Instant::now();
    loop {
        let job = fetch(client, id)?.with_context(|| format!("{id} is unknown"))?;
        if ended(&job) {
            return Ok(job);
        }
        ensure!(
            began.elapsed() < patience,
            "{id} has not ended after {patience:?}: {job}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}
