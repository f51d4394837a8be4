//! The default processor over HTTP: NDJSON streamed through the real server, in a process of its
//! own.

use std::{fs::File, net::TcpStream, path::Path, time::Instant};

use anyhow::ensure;

use super::{ITEMS, twin};
use crate::{
    Options,
    http::{client, process::Process},
    report::{Report, interleaved, median},
};

const TARGET: &str = "/api/performance/batch/process";
const NDJSON: &str = "content-type: application/x-ndjson\r\naccept: application/x-ndjson\r\n";
/// Peak above idle, MB: what it must not exceed.
const TARGET_MB: f64 = 64.0;
const PEER: &str = "objects in JS, no JSON, no HTTP";
/// How often the long run sends the items.
const LONG: usize = 10;

/// Runs them.
pub(super) fn run(options: &Options, report: &mut Report, input: &Path) -> anyhow::Result<()> {
    if let Err(error) = Process::ours(&[]) {
        report.note("batch", &format!("{error:#}"));
        return Ok(());
    }
    let mut passes = Vec::new();
    let mut ours = || match stream(input, 1) {
        Ok(pass) => {
            let figure = pass.per_cpu_second;
            passes.push(pass);
            figure
        }
        Err(error) => {
            eprintln!("batch: {error:#}");
            f64::NAN
        }
    };
    let mut peer_walls = Vec::new();
    let mut peer = || match twin("objects", &ITEMS.to_string()) {
        Ok(twin) => {
            peer_walls.push(twin.per_second);
            twin.per_cpu_second
        }
        Err(_) => f64::NAN,
    };
    let figures = interleaved(options.rounds, &mut [&mut ours, &mut peer]);
    let case = "1 M items, default, NDJSON over HTTP";
    let unit = "M items/server CPU-s";
    report.case("batch", case, unit, figures[0], PEER, figures[1]);
    let peer_wall = median(peer_walls);
    let wall = median(passes.iter().map(|pass| pass.per_second).collect());
    wall_time(report, wall, peer_wall);
    let peaks = passes.iter().map(|pass| pass.peak_mb).collect();
    let unit = "MB above idle, less is better";
    let limit = "its limit";
    report.case(
        "batch",
        "  peak memory of the server",
        unit,
        median(peaks),
        limit,
        TARGET_MB,
    );
    let long = stream(input, LONG)?;
    let case = "10 M items, default, NDJSON over HTTP";
    // The CPU time of a process has a resolution of 10 ms: only here is it exact to some percent.
    let rate = "M items/server CPU-s";
    report.case("batch", case, rate, long.per_cpu_second, PEER, figures[1]);
    wall_time(report, long.per_second, peer_wall);
    report.case(
        "batch",
        "  peak memory of the server",
        unit,
        long.peak_mb,
        limit,
        TARGET_MB,
    );
    Ok(())
}

fn wall_time(report: &mut Report, ours: f64, peer: f64) {
    report.case("batch", "  wall time", "M items/s", ours, PEER, peer);
}

/// What one stream measured: million items a second, and MB.
struct Pass {
    per_second: f64,
    per_cpu_second: f64,
    peak_mb: f64,
}

/// Sends the file `times` times in one body to a fresh server, and reads while it sends.
fn stream(input: &Path, times: usize) -> anyhow::Result<Pass> {
    let server = Process::ours(&[])?;
    // The first request of a kind sets things up that stay.
    client::request(&server.address, "POST", TARGET, NDJSON, b"{}\n")?;
    let idle_mb = server.memory_mb("VmRSS")?;
    let (start, cpu) = (Instant::now(), server.cpu_seconds()?);
    let length = File::open(input)?.metadata()?.len() * times as u64;
    let mut stream = TcpStream::connect(&server.address)?;
    let mut sending = stream.try_clone()?;
    let mut lines = 0;
    let status = std::thread::scope(|scope| {
        let sender = scope.spawn(move || -> anyhow::Result<()> {
            client::send_head(&mut sending, "POST", TARGET, NDJSON, length)?;
            for _ in 0..times {
                std::io::copy(&mut File::open(input)?, &mut sending)?;
            }
            Ok(())
        });
        let status = client::read_answer(&mut stream, |bytes| {
            lines += bytes.iter().filter(|b| **b == b'\n').count();
        });
        match sender.join() {
            Ok(sent) => sent.and(status),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    let items = ITEMS * times;
    ensure!(
        status == 200 && lines == items,
        "{status}: {lines} of {items} items came back"
    );
    let millions = items as f64 / 1e6;
    Ok(Pass {
        per_second: millions / start.elapsed().as_secs_f64(),
        per_cpu_second: millions / (server.cpu_seconds()? - cpu),
        peak_mb: server.memory_mb("VmHWM")? - idle_mb,
    })
}
