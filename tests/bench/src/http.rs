//! The `http` workloads: cache calls beside a bare axum handler and beside Express, and what JSON
//! costs for a matrix.

pub mod bare;
pub mod client;
mod matrix;
pub mod process;
mod wrk;

use std::process::Command;

use anyhow::ensure;

use crate::{
    Options,
    report::{Report, median},
};
pub use process::Process;
pub use wrk::Script;

const SECONDS: u32 = 3;
const GET_SMALL: &str = "/api/performance/cache/get/small";
const GET_LARGE: &str = "/api/performance/cache/get/large";
const SET: &str = "/api/performance/cache/set";
const JSON: &str = "content-type: application/json\r\n";
/// Bytes of a set's body or a get's answer around its value.
const AROUND: usize = 30;

/// Runs them.
pub fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let ours = match Process::ours(&[]) {
        Ok(ours) => ours,
        Err(error) => {
            report.note("http", &format!("{error:#}"));
            return Ok(());
        }
    };
    calls(options, report, &ours)?;
    matrix::run(options, report, &ours)
}

/// One kind of request.
struct Case {
    name: &'static str,
    script: Script,
    target: f64,
    next_target: f64,
}

fn cases() -> anyhow::Result<[Case; 3]> {
    let case = |name, path, body: Option<&str>, (target, next_target)| {
        Ok::<_, anyhow::Error>(Case {
            name,
            script: Script::write(path_name(path), path, body)?,
            target,
            next_target,
        })
    };
    let (get, set) = ((0.60, 0.75), (0.50, 0.65));
    Ok([
        case("cache get, 100 bytes", GET_SMALL, None, get)?,
        case("cache get, 10 kB", GET_LARGE, None, get)?,
        case("cache set, 100 bytes", SET, Some(&body("set", 100)), set)?,
    ])
}

fn path_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The body of a set, `bytes` long or nearly so.
fn body(key: &str, bytes: usize) -> String {
    format!(
        r#"{{"key":"{key}","value":"{}"}}"#,
        "x".repeat(bytes - AROUND)
    )
}

fn calls(options: &Options, report: &mut Report, ours: &Process) -> anyhow::Result<()> {
    let (small, large) = (fill(ours)?, answer(ours, GET_LARGE)?);
    let bare = Process::start(Command::new(std::env::current_exe()?).args([
        bare::COMMAND,
        &small.len().to_string(),
        &large.len().to_string(),
    ]))?;
    let mut contestants = vec![("ours", ours), ("bare axum", &bare)];
    let express = process::express();
    match &express {
        Err(error) => report.note("http", &format!("no Express twin: {error:#}")),
        Ok(express) => {
            ensure!(fill(express)? == small, "the twin answers otherwise");
            contestants.push(("Express", express));
        }
    }
    for case in cases()? {
        match figures(options, &case, &contestants) {
            Ok(figures) => print(report, &case, &contestants, &figures),
            Err(error) => report.note("http", &format!("{}: {error:#}", case.name)),
        }
    }
    Ok(())
}

/// Puts the values of both gets into a server's cache; its answer to the small one.
fn fill(server: &Process) -> anyhow::Result<Vec<u8>> {
    for (key, bytes) in [("small", 100), ("large", 10_000)] {
        let body = body(key, bytes);
        client::request(&server.address, "POST", SET, JSON, body.as_bytes())?;
    }
    answer(server, GET_SMALL)
}

fn answer(server: &Process, path: &str) -> anyhow::Result<Vec<u8>> {
    client::request(&server.address, "GET", path, "", &[])
}

/// Medians of one contestant.
#[derive(Default)]
struct Figures {
    per_second: Vec<f64>,
    per_cpu_second: Vec<f64>,
    p99_ms: Vec<f64>,
}

fn figures(
    options: &Options,
    case: &Case,
    contestants: &[(&str, &Process)],
) -> anyhow::Result<Vec<Figures>> {
    let mut all: Vec<Figures> = contestants.iter().map(|_| Figures::default()).collect();
    for _ in 0..options.rounds.max(1) {
        for ((_, server), figures) in contestants.iter().zip(&mut all) {
            let cpu = server.cpu_seconds()?;
            let load = case.script.run(&server.address, SECONDS)?;
            let cpu = server.cpu_seconds()? - cpu;
            figures.per_second.push(load.requests / load.seconds);
            figures.per_cpu_second.push(load.requests / cpu);
            figures.p99_ms.push(load.p99_ms);
        }
    }
    Ok(all)
}

fn print(report: &mut Report, case: &Case, contestants: &[(&str, &Process)], all: &[Figures]) {
    let [ours, peers @ ..] = all else { return };
    let middle = |values: &[f64]| median(values.to_vec());
    for ((name, _), peer) in contestants[1..].iter().zip(peers) {
        let mut line = |what: &str, unit: &str, ours: &[f64], peer: &[f64]| {
            let what = format!("{}{what}", case.name);
            report.case("http", &what, unit, middle(ours), name, middle(peer));
        };
        line("", "requests/s", &ours.per_second, &peer.per_second);
        let (cpu, cpu_peer) = (&ours.per_cpu_second, &peer.per_cpu_second);
        line(", CPU", "requests/server CPU-s", cpu, cpu_peer);
        line(", p99 (less is better)", "ms", &ours.p99_ms, &peer.p99_ms);
    }
    let text = format!(
        "{}: target {} of bare axum's requests/s, next {}",
        case.name, case.target, case.next_target
    );
    report.note("http", &text);
}
