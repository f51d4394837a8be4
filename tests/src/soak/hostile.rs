//! Processors that mean harm, while others read from the cache.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{
    Options,
    http::{Client, text},
    load,
    server::{Folder, Server},
};

/// Time limit of a chunk, and what its end may take beyond it, milliseconds.
const TIME_MS: u64 = 1000;
const BEYOND_MS: u64 = 1000;
/// Slowest hundredth of the cache's answers meanwhile.
const P99_MAX: Duration = Duration::from_millis(250);

/// Name, source, and the words of which one must be in the error. None: it may succeed, but then
/// every value that it returns must be `undefined`.
const CASES: [(&str, &str, &[&str]); 17] = [
    ("endless loop", "chunk => { for (;;) {} }", &["longer than"]),
    (
        "endless sorts",
        "chunk => { for (;;) { Array.from({length: 100000}, (_, i) => -i).sort((a, b) => a - b); } }",
        &["longer than", "memory"],
    ),
    (
        "one endless builtin",
        "chunk => { const a = new Array(30000000).fill(1); for (;;) a.includes(2); }",
        &["longer than", "memory"],
    ),
    (
        "memory bomb",
        "chunk => { const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(7)); }",
        &["memory"],
    ),
    (
        "string bomb",
        "chunk => { let s = 'x'; for (;;) s += s; }",
        &["memory", "string", "length", "too long"],
    ),
    (
        "deep recursion",
        "chunk => { const f = n => f(n + 1) + 1; return [f(0)]; }",
        &["stack", "recursion"],
    ),
    (
        "deep JSON",
        "chunk => { let a = []; for (let i = 0; i < 1000000; i++) a = [a]; return a; }",
        &["stack", "deep", "recursion", "memory"],
    ),
    (
        "ReDoS",
        "chunk => [/^(a+)+$/.test('a'.repeat(64) + 'b')]",
        &["longer than", "regular", "backtrack", "interrupt"],
    ),
    (
        "1 GB of output",
        "chunk => Array.from({length: 1024}, () => 'x'.repeat(1 << 20))",
        &["output", "memory", "bytes"],
    ),
    (
        "output over its limit",
        "chunk => Array.from({length: 34000000}, () => 1)",
        &["output", "memory", "bytes", "longer than"],
    ),
    (
        "throws",
        "chunk => { throw new Error('on purpose'); }",
        &["on purpose"],
    ),
    (
        "throws a throwing object",
        "chunk => { throw {get message() { for (;;) {} }}; }",
        &["longer than", "processor"],
    ),
    (
        "names of the host",
        "chunk => [typeof require, typeof fetch, typeof process, typeof Deno, typeof std, \
         typeof os, typeof module, typeof XMLHttpRequest, typeof WebSocket, typeof setTimeout]",
        &[],
    ),
    (
        "calls require",
        "chunk => [require('fs').readFileSync('/etc/passwd')]",
        &["require"],
    ),
    (
        "import()",
        "chunk => import('os')",
        &["import", "module", "promise", "returned", "load"],
    ),
    (
        "constructor escape",
        "chunk => { const F = chunk.map.constructor; return [F('return typeof process')(), \
         F('return typeof require')(), (function () { return typeof this.process; })(), \
         typeof chunk.constructor.constructor('return this')().std]; }",
        &[],
    ),
    (
        "generator escape",
        "chunk => { const G = Object.getPrototypeOf(function* () {}).constructor; \
         return [...G('yield typeof process; yield typeof os')()]; }",
        &[],
    ),
];

/// The check.
pub(crate) fn check(_: &Options) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let time = TIME_MS.to_string();
    let server = Server::start(folder.path(), &["--processor-time-ms", &time])?;
    let stop = AtomicBool::new(false);
    let (harm, mut times) = thread::scope(|scope| {
        let reader = scope.spawn(|| read_cache(&server, &stop));
        let harm = volleys(&server);
        stop.store(true, Ordering::Relaxed);
        (harm, reader.join())
    });
    harm?;
    let times = times
        .as_mut()
        .map_err(|_| anyhow::anyhow!("the reader panicked"))?;
    let times = times
        .as_mut()
        .map_err(|error| anyhow::anyhow!("cache: {error:#}"))?;
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied();
    let p99 = at(99).context("the cache was never read")?;
    println!(
        "  cache gets meanwhile: {}, p50 {:?}, p99 {p99:?}, max {:?}",
        times.len(),
        at(50).unwrap_or_default(),
        times.last()
    );
    no_children_left(&server)?;
    ensure!(p99 <= P99_MAX, "cache p99 {p99:?} is over {P99_MAX:?}");
    Ok(())
}

/// Each alone, so that the times are its own; then all at once.
fn volleys(server: &Server) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for case in &CASES {
        let id = submit(&mut server.client(), case.1)?;
        judge(server, case, &id, true, &mut wrong)?;
    }
    let ids: Vec<String> = CASES
        .iter()
        .map(|case| submit(&mut server.client(), case.1))
        .collect::<anyhow::Result<_>>()?;
    for (case, id) in CASES.iter().zip(&ids) {
        judge(server, case, id, false, &mut wrong)?;
    }
    println!(
        "  {} processors alone and then all at once; {} wrong",
        CASES.len(),
        wrong.len()
    );
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

fn submit(client: &mut Client, source: &str) -> anyhow::Result<String> {
    let body = json!({"data": [1, 2, 3], "processor": source});
    let answer = client
        .post("/api/performance/batch/process", body.to_string())?
        .ok()?;
    Ok(text(&answer["batchId"]))
}

fn judge(
    server: &Server,
    (name, _, words): &(&str, &str, &[&str]),
    id: &str,
    alone: bool,
    wrong: &mut Vec<String>,
) -> anyhow::Result<()> {
    let batch = load::wait(&mut server.client(), id, Duration::from_secs(120))?;
    let took = batch["processingTime"].as_u64().unwrap_or(u64::MAX);
    let error = text(&batch["errors"][0]["error"]);
    let results = batch["results"].as_array().cloned().unwrap_or_default();
    let harmless = results.iter().all(|v| v == "undefined");
    let failed = batch["failedChunks"] == 1 && results.is_empty();
    let mut words_of_crowds = words.iter().chain(&["longer than"][usize::from(alone)..]);
    let clear = words_of_crowds.any(|word| error.to_lowercase().contains(word));
    let right = if words.is_empty() {
        harmless && !results.is_empty() || failed && !error.is_empty()
    } else {
        failed && clear
    };
    if alone {
        let end = if failed {
            error.clone()
        } else {
            Value::from(results).to_string()
        };
        println!("  {name}: {took} ms: {end}");
    }
    if !right {
        wrong.push(format!("{name}: {batch}"));
    }
    if alone && took > TIME_MS + BEYOND_MS {
        wrong.push(format!("{name}: {took} ms"));
    }
    Ok(())
}

fn read_cache(server: &Server, stop: &AtomicBool) -> anyhow::Result<Vec<Duration>> {
    let mut client = server.client();
    client
        .post(
            "/api/performance/cache/set",
            r#"{"key":"k","value":{"a":1}}"#,
        )?
        .ok()?;
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = client.get("/api/performance/cache/get/k")?;
        times.push(began.elapsed());
        ensure!(answer.status == 200, "status {}", answer.status);
        thread::sleep(Duration::from_micros(500));
    }
    Ok(times)
}

/// Children may wait for work; none may be busy or a zombie.
fn no_children_left(server: &Server) -> anyhow::Result<()> {
    thread::sleep(Duration::from_millis(200));
    let before = server.children()?;
    thread::sleep(Duration::from_millis(500));
    let after = server.children()?;
    let used = |pid: u32| before.iter().find(|b| b.pid == pid).map_or(0, |b| b.ticks);
    let busy = after.iter().filter(|c| c.ticks > used(c.pid) + 1).count();
    let zombies = after.iter().filter(|c| c.state == 'Z').count();
    println!(
        "  children afterwards: {} idle, {busy} busy, {zombies} zombies",
        after.len() - busy
    );
    ensure!(busy == 0 && zombies == 0, "children are left: {after:?}");
    Ok(())
}
