//! What JSON costs: one product of matrices, sent and fetched as JSON and as NPY.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sommos_core::matrix::{Matrix, write_npy};

use super::{client, process::Process};
use crate::{
    Options,
    report::{Report, median},
};

const SIZE: usize = 512;
const TASK: &str = "/api/performance/parallel/task";
/// Between two looks whether the task is done.
const POLL: Duration = Duration::from_millis(1);
const CONFLICT: u16 = 409;

/// The product's task in one form.
struct Form {
    media_type: &'static str,
    target: &'static str,
    body: Vec<u8>,
}

/// Submits, waits and fetches in both forms in turn.
pub fn run(options: &Options, report: &mut Report, ours: &Process) -> anyhow::Result<()> {
    let forms = [json()?, npy()?];
    let mut figures = [const { Vec::new() }; 2];
    let mut cpu = [const { Vec::new() }; 2];
    for _ in 0..options.rounds.max(1) {
        for (at, form) in forms.iter().enumerate() {
            let before = ours.cpu_seconds()?;
            figures[at].push(round_trip(ours, form)?);
            cpu[at].push((ours.cpu_seconds()? - before) * 1e3);
        }
    }
    let [json, npy] = figures.map(median);
    let case = "512x512 product, NPY, upload to result";
    report.case("http", case, "ms, less is better", npy, "as JSON", json);
    let [json, npy] = cpu.map(median);
    let case = "  its server CPU";
    report.case("http", case, "ms, less is better", npy, "as JSON", json);
    let [json, npy] = forms.map(|form| form.body.len() as f64 / 1e6);
    report.case(
        "http",
        "  its upload",
        "MB, less is better",
        npy,
        "as JSON",
        json,
    );
    Ok(())
}

/// Values with as many digits as measured ones have.
fn value(at: usize) -> f64 {
    (at as f64 * 0.618_033_988_749_894_9).fract() * 100.0
}

fn json() -> anyhow::Result<Form> {
    let rows = |from: usize| -> Vec<Vec<f64>> {
        let row = |r: usize| (0..SIZE).map(|c| value(from + r * SIZE + c)).collect();
        (0..SIZE).map(row).collect()
    };
    let body = serde_json::json!({
        "taskType": "matrix_multiplication",
        "data": {"matrixA": rows(0), "matrixB": rows(SIZE * SIZE)},
    });
    Ok(Form {
        media_type: "application/json",
        target: TASK,
        body: serde_json::to_vec(&body)?,
    })
}

fn npy() -> anyhow::Result<Form> {
    let mut body = Vec::new();
    for from in [0, SIZE * SIZE] {
        let values: Vec<f64> = (from..from + SIZE * SIZE).map(value).collect();
        write_npy(
            &Matrix::from_vec(SIZE, SIZE, values, SIZE * SIZE)?,
            &mut body,
        );
    }
    Ok(Form {
        media_type: "application/x-npy",
        target: "/api/performance/parallel/task?taskType=matrix_multiplication",
        body,
    })
}

/// Milliseconds from the first byte sent to the last byte of the result.
fn round_trip(server: &Process, form: &Form) -> anyhow::Result<f64> {
    let start = Instant::now();
    let headers = format!("content-type: {}\r\n", form.media_type);
    let answer = client::request(&server.address, "POST", form.target, &headers, &form.body)?;
    let answer: serde_json::Value = serde_json::from_slice(&answer)?;
    let id = answer["data"]["task_id"]
        .as_str()
        .or_else(|| answer["taskId"].as_str())
        .with_context(|| format!("no id in {answer}"))?;
    let target = format!("{TASK}/{id}/result");
    let headers = format!("accept: {}\r\n", form.media_type);
    loop {
        let (status, body) = client::ask(&server.address, "GET", &target, &headers, &[])?;
        if status != CONFLICT {
            let text = || String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
            ensure!(status == 200, "{status}: {}", text());
            return Ok(start.elapsed().as_secs_f64() * 1e3);
        }
        std::thread::sleep(POLL);
    }
}
