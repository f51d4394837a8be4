//! oha in the open model, its times counted from when requests were due.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{number, program};

/// What one run measured.
pub struct Latencies {
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
}

/// Sends so many requests at a rate.
pub fn run(
    address: &str,
    path: &str,
    requests: u64,
    rate: u64,
    connections: u64,
) -> anyhow::Result<Latencies> {
    let output = Command::new(program("OHA", "oha"))
        .args([
            "--no-tui",
            "--latency-correction",
            "--output-format",
            "json",
        ])
        .args(["-n", &requests.to_string()])
        .args(["-q", &rate.to_string()])
        .args(["-c", &connections.to_string()])
        .arg(format!("http://{address}{path}"))
        .output()
        .context("no oha: install it by cargo install oha --locked")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "oha: {errors}");
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let good = number(&found, "/summary/successRate")?;
    ensure!(good == 1.0, "oha: of the requests only {good} succeeded");
    let ms = |name: &str| Ok::<_, anyhow::Error>(number(&found, name)? * 1e3);
    Ok(Latencies {
        p90_ms: ms("/latencyPercentiles/p90")?,
        p99_ms: ms("/latencyPercentiles/p99")?,
        p999_ms: ms("/latencyPercentiles/p99.9")?,
    })
}
