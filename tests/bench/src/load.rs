//! The `load` workloads: our load test beside oha (open model, with a stall) and wrk (closed
//! model). Each pair meets the same server; a figure that is not the peer's, within a tenth, fails
//! the benchmark.

mod oha;
pub mod stalling;

use std::{fs, process::Command};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::{
    Options,
    http::{Process, Script, client},
    report::{Report, median},
};

const TEST: &str = "/api/performance/test/load";
const JSON: &str = "content-type: application/json\r\n";
/// Of the open model: requests a second, and in all. A stall of 2 s is met by 400 requests, of
/// which the 20 that were due in its first 0.1 s wait 1.9 s and longer. So that these are more
/// than 1 % of all, the test has less than 2000 requests: of 1600 the 99th percentile is the 17th
/// longest time, some 1.92 s.
const RATE: u64 = 200;
const REQUESTS: u64 = 1600;
const STALLED_P99_MS: f64 = 1900.0;
/// Fewer than 1 % of the requests: those that wait for a connection, not those on one, make the
/// 99th percentile, and a test that counts from when requests are sent misses the stall.
const OPEN_CONNECTIONS: u64 = 10;
/// As wrk's in [`Script`].
const CLOSED_CONNECTIONS: u64 = 32;
const SECONDS: u32 = 4;
/// How far ours and the peer's figures may be apart.
const APART: f64 = 0.1;

/// Runs them.
pub fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    stall(report)?;
    closed(options, report)
}

fn target() -> anyhow::Result<Process> {
    Process::start(Command::new(std::env::current_exe()?).arg(stalling::COMMAND))
}

/// Our load test, at a server that it is allowed to load.
fn ours(server: &Process, test: &Value) -> anyhow::Result<Value> {
    let body = test.to_string();
    let answer = client::request(&server.address, "POST", TEST, JSON, body.as_bytes())?;
    let answer: Value = serde_json::from_slice(&answer)?;
    Ok(answer["data"].clone())
}

fn number(value: &Value, path: &str) -> anyhow::Result<f64> {
    let found = value.pointer(path).and_then(Value::as_f64);
    found.with_context(|| format!("no {path} in {value}"))
}

fn near(what: &str, ours: f64, peer: f64) -> anyhow::Result<()> {
    let apart = (ours / peer - 1.0).abs();
    ensure!(
        apart <= APART,
        "{what}: ours {ours:.3}, the peer's {peer:.3}"
    );
    Ok(())
}

/// 200 requests a second; once, for 2 s, none is answered.
fn stall(report: &mut Report) -> anyhow::Result<()> {
    let target = target()?;
    let origin = format!("http://{}", target.address);
    let loader = Process::ours(&["--load-test-origin", &origin])?;
    let test = json!({
        "requests": REQUESTS, "concurrency": OPEN_CONNECTIONS, "rate": RATE,
        "endpoint": format!("{origin}{}", stalling::STALLS),
    });
    let found = ours(&loader, &test)?;
    drop(target);
    let p99 = number(&found, "/responseTimes/p99")?;
    let uncorrected = number(&found, "/serviceTimes/p99")?;
    ensure!(
        p99 >= STALLED_P99_MS,
        "the stall does not show: p99 is {p99} ms"
    );
    let target = self::target()?;
    let peer = oha::run(
        &target.address,
        stalling::STALLS,
        REQUESTS,
        RATE,
        OPEN_CONNECTIONS,
    );
    let peer = match peer {
        Ok(peer) => peer,
        Err(error) => {
            report.figure("load", "open, 2 s stall: p99", "ms", p99);
            report.note("load", &format!("{error:#}"));
            return Ok(());
        }
    };
    let mut compare = |what: &str, ours: f64, peer: f64| {
        let case = format!("open 200/s, 2 s stall: {what}");
        report.case("load", &case, "ms, 1.00 is equal", ours, "oha", peer);
        near(&case, ours, peer)
    };
    compare("p90", number(&found, "/responseTimes/p90")?, peer.p90_ms)?;
    compare("p99", p99, peer.p99_ms)?;
    compare(
        "p99.9",
        number(&found, "/responseTimes/p999")?,
        peer.p999_ms,
    )?;
    report.figure(
        "load",
        "  p99 from when requests were sent",
        "ms",
        uncorrected,
    );
    Ok(())
}

/// As fast as the connections go: another server, and the one that runs the test.
fn closed(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let target = target()?;
    let origin = format!("http://{}", target.address);
    let loader = Process::ours(&["--load-test-origin", &origin])?;
    let fast = Script::write("load-fast", stalling::FAST, None)?;
    let own = Script::write("load-own", "/health/live", None)?;
    let cases = [
        (
            "closed, bare server",
            &target,
            &fast,
            format!("{origin}{}", stalling::FAST),
        ),
        (
            "closed, the server itself",
            &loader,
            &own,
            "/health/live".to_owned(),
        ),
    ];
    for (case, server, script, endpoint) in cases {
        let test = json!({
            "requests": 1_000_000, "concurrency": CLOSED_CONNECTIONS, "endpoint": endpoint,
            "duration": SECONDS * 1000,
        });
        let (mut rates, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds.max(1) {
            let found = ours(&loader, &test)?;
            ensure!(number(&found, "/failedRequests")? == 0.0, "{found}");
            rates.push(number(&found, "/requestsPerSecond")?);
            match script.run(&server.address, SECONDS) {
                Ok(load) => peers.push(load.requests / load.seconds),
                Err(error) => {
                    report.note("load", &format!("{error:#}"));
                    return Ok(());
                }
            }
        }
        let (rate, peer) = (median(rates), median(peers));
        report.case("load", case, "requests/s", rate, "wrk", peer);
        near(case, rate, peer)?;
    }
    Ok(())
}

/// What the machine's peers are looked for as: an environment variable, then the path.
fn program(variable: &str, name: &str) -> String {
    match std::env::var(variable) {
        Ok(path) if fs::exists(&path).unwrap_or(false) => path,
        _ => name.to_owned(),
    }
}
