//! What is cancelled or timed out stops using the processor at once.

use std::{
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use sommos_core::rng::Rng;

use super::{
    Options,
    http::{Client, Framing, text},
    load::{ended, fetch, wait},
    server::{Folder, Server},
};

/// Between the answer and the process at rest.
const REST_MAX: Duration = Duration::from_millis(200);
/// The similarity job must take this long when it is let.
const LONG: Duration = Duration::from_secs(10);
/// How long the processor time is sampled, how often, and what a server at rest may use of it:
/// samples of the system, clean-ups of the cache. Ticks are 10 ms.
const WATCH: Duration = Duration::from_millis(1000);
const EVERY: Duration = Duration::from_millis(20);
const REST_TICKS: u64 = 2;
/// Ratings of one entity, and items to choose from.
const PER_ENTITY: u64 = 100;
const ITEMS: u64 = 2000;

/// The check.
pub(crate) fn check(_: &Options) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let args = [
        "--bodies-bytes",
        "1073741824",
        "--limit",
        "bodyBytes=536870912",
        "--limit",
        "similarityPairs=1000000",
    ];
    let server = Server::start(folder.path(), &args)?;
    let n = calibrate(&server)?;
    let body = similarity(n, "");
    println!(
        "  similarity of {n} entities: a body of {} MB",
        body.len() >> 20
    );
    let wait_2s = Duration::from_secs(2);
    cancel(&server, "similarity_calculation", Body::Json(body), wait_2s)?;
    time_out(&server, similarity(n, r#""timeout":2000,"retries":0"#))?;
    cancel(&server, "model_training", Body::Json(training()), wait_2s)?;
    let matrices = Body::Npy(npy(4096));
    cancel(
        &server,
        "matrix_multiplication",
        matrices,
        Duration::from_millis(300),
    )
}

enum Body {
    Json(String),
    Npy(Vec<u8>),
}

/// Entities for a job of half as long again as [`LONG`], from one of few entities.
fn calibrate(server: &Server) -> anyhow::Result<u64> {
    const FEW: u64 = 6000;
    let mut client = server.client();
    let id = submit(&mut client, &Body::Json(similarity(FEW, "")))?;
    let job = wait(&mut client, &id, Duration::from_secs(120))?;
    ensure!(job["status"] == "completed", "calibration: {job}");
    let at = |name: &str| job[name].as_u64().unwrap_or(0);
    let seconds = (at("completedAt") - at("startedAt")).max(1) as f64 / 1e3;
    let pairs = (FEW * FEW / 2) as f64;
    println!(
        "  {FEW} entities take {seconds:.2} s: {:.1} M pairs/s",
        pairs / seconds / 1e6
    );
    let factor = (1.5 * LONG.as_secs_f64() / seconds).sqrt();
    Ok(((FEW as f64 * factor) as u64).clamp(FEW, 150_000))
}

/// Ratings that are no multiples of 1/8, which keeps the job off the packed path.
fn similarity(entities: u64, options: &str) -> String {
    let mut rng = Rng::new(entities);
    let (mut users, mut items, mut ratings) = (String::new(), String::new(), String::new());
    for user in 0..entities {
        for step in 0..PER_ENTITY {
            let item = step * (ITEMS / PER_ENTITY) + rng.below(ITEMS / PER_ENTITY);
            // Writing to a String cannot fail.
            let _ = write!(users, "{user},");
            let _ = write!(items, "{item},");
            let _ = write!(
                ratings,
                "{}.{:03},",
                1 + rng.below(4),
                1 + 2 * rng.below(499)
            );
        }
    }
    for list in [&mut users, &mut items, &mut ratings] {
        list.pop();
    }
    format!(
        r#"{{"jobType":"similarity_calculation","options":{{{options}}},"data":{{"users":[{users}],
        "items":[{items}],"ratings":[{ratings}],"options":{{"minSimilarity":-2,"limit":100}}}}}}"#
    )
}

fn training() -> String {
    let mut rng = Rng::new(1);
    let (mut users, mut items, mut ratings) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..200_000u64 {
        users.push(n / 100);
        items.push(rng.below(5000));
        ratings.push((rng.below(9) + 2) as f64 / 2.0);
    }
    let data = serde_json::json!({"users": users, "items": items, "ratings": ratings});
    format!(
        r#"{{"jobType":"model_training","data":{{"trainingData":{data},
        "parameters":{{"epochs":1000,"factors":256,"heldOutFraction":0}}}}}}"#
    )
}

/// Two square matrices of f32.
fn npy(n: usize) -> Vec<u8> {
    let mut rng = Rng::new(2);
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {n}), }}");
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut out = Vec::with_capacity(2 * (n * n * 4 + 128));
    for _ in 0..2 {
        out.extend_from_slice(b"\x93NUMPY\x01\x00");
        out.extend_from_slice(&(padded as u16).to_le_bytes());
        out.extend_from_slice(format!("{header:<width$}\n", width = padded - 1).as_bytes());
        for _ in 0..n * n {
            out.extend_from_slice(&(rng.below(1000) as f32 / 500.0 - 1.0).to_le_bytes());
        }
    }
    out
}

fn submit(client: &mut Client, body: &Body) -> anyhow::Result<String> {
    let answer = match body {
        Body::Json(json) => client.post("/api/performance/async/job", json)?,
        Body::Npy(arrays) => client.send(
            "POST",
            "/api/performance/async/job?jobType=matrix_multiplication",
            "content-type: application/x-npy\r\n",
            arrays,
            Framing::Length,
        )?,
    };
    Ok(text(&answer.ok()?["jobId"]))
}

fn until_running(client: &mut Client, id: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let job = fetch(client, id)?.context("unknown")?;
        if job["status"] == "running" {
            return Ok(());
        }
        ensure!(
            !ended(&job) && began.elapsed() < Duration::from_secs(30),
            "not running: {job}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

fn cancel(server: &Server, name: &str, body: Body, after: Duration) -> anyhow::Result<()> {
    let mut client = server.client();
    let id = submit(&mut client, &body)?;
    drop(body);
    until_running(&mut client, &id)?;
    let busy_from = server.cpu_ticks()?;
    thread::sleep(after);
    let busy = (server.cpu_ticks()? - busy_from) as f64 / after.as_secs_f64();
    let before = fetch(&mut client, &id)?.context("unknown")?;
    ensure!(
        before["status"] == "running",
        "{name} is too short: {}",
        short(&before)
    );
    let asked = Instant::now();
    let answer = client.delete(&format!("/api/performance/async/job/{id}"))?;
    let answered = asked.elapsed();
    let rest = rest(server)?;
    ensure!(busy > 20.0, "{name} was not at work: {busy:.0} %");
    ensure!(answer.status == 200, "DELETE: {}", answer.status);
    let job = fetch(&mut client, &id)?.context("unknown")?;
    println!(
        "  {name} at {} % and {busy:.0} % of a core cancelled: answered after {answered:.1?}, at rest \
         {} later",
        before["progress"],
        rest.map_or("NOT".to_owned(), |r| format!("{} ms", r.as_millis()))
    );
    ensure!(
        job["status"] == "cancelled" && job["result"].is_null(),
        "{}",
        short(&job)
    );
    ensure!(
        rest.is_some_and(|r| r <= REST_MAX),
        "{name}: at rest after {rest:?}"
    );
    Ok(())
}

fn time_out(server: &Server, body: String) -> anyhow::Result<()> {
    let mut client = server.client();
    let id = submit(&mut client, &Body::Json(body))?;
    until_running(&mut client, &id)?;
    let began = Instant::now();
    let job = wait(&mut client, &id, Duration::from_secs(30))?;
    let took = began.elapsed();
    let rest = rest(server)?;
    println!(
        "  similarity_calculation with a timeout of 2000 ms: failed after {took:.1?}, at rest {} \
         later: {}",
        rest.map_or("NOT".to_owned(), |r| format!("{} ms", r.as_millis())),
        job["error"]
    );
    ensure!(job["status"] == "failed", "{}", short(&job));
    ensure!(
        rest.is_some_and(|r| r <= REST_MAX),
        "timeout: at rest after {rest:?}"
    );
    Ok(())
}

fn short(job: &Value) -> String {
    job.to_string().chars().take(300).collect()
}

/// From now until the process is at rest: the first sample after which it used no more than
/// [`REST_TICKS`] to the end of the watch. `None`: it never came to rest.
fn rest(server: &Server) -> anyhow::Result<Option<Duration>> {
    let began = Instant::now();
    let mut samples = vec![(Duration::ZERO, server.cpu_ticks()?)];
    while began.elapsed() < WATCH {
        thread::sleep(EVERY);
        samples.push((began.elapsed(), server.cpu_ticks()?));
    }
    let last = samples.last().map_or(0, |s| s.1);
    let at_rest = samples.iter().find(|(_, ticks)| last - ticks <= REST_TICKS);
    Ok(at_rest.map(|s| s.0).filter(|at| *at < WATCH / 2))
}
