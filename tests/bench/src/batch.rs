//! The `batch` workloads: the default processor over a million NDJSON items, and processors of the
//! caller's own in the sandbox.

mod streamed;

use std::{
    fs::File,
    io::{BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, bail};
use sommos_core::{
    batch::operations::{Processor, RowPipeline, parse},
    control::Unstoppable,
    limits::Limits,
};
use sommos_server::sandbox::{self, Sandbox, SandboxOptions};

use crate::{
    Options,
    report::{Report, cpu_seconds, interleaved, median},
};

const ITEMS: usize = 1_000_000;
/// Items of one sandboxed chunk: the default batch size.
const CHUNK: usize = 1000;
/// Read at once; with the output buffer all that a batch holds.
const BLOCK_BYTES: usize = 256 << 10;
const DEFAULT_SOURCE: &str =
    "function(chunk) { return chunk.map(item => ({...item, processed: true})); }";
/// The figure that design and documentation quote for today's code, million items a CPU second.
const QUOTED_PEER: f64 = 1.41;

/// Runs them.
pub fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let input = Input::write(ITEMS)?;
    default_processor(options, report, &input.0)?;
    operations(report, &input.0)?;
    streamed::run(options, report, &input.0)?;
    sandboxed(options, report, &input.0)
}

/// The items as an NDJSON file, removed at the end.
struct Input(PathBuf);

impl Input {
    fn write(items: usize) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("sommos-batch-{}.ndjson", std::process::id()));
        let mut file = BufWriter::new(File::create(&path).context("temporary input")?);
        let this = Self(path);
        for i in 0..items {
            writeln!(file, "{{\"id\":{i},\"value\":\"data{i}\"}}")?;
        }
        file.flush()?;
        Ok(this)
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn default_processor(options: &Options, report: &mut Report, input: &Path) -> anyhow::Result<()> {
    let limits = Limits::default();
    let mut peaks = Vec::new();
    let mut ours = || {
        let pipeline = Processor::default().row_wise(&limits).context("row-wise");
        match pipeline.and_then(|pipeline| stream(input, pipeline)) {
            Ok((figure, peak)) => {
                peaks.push(peak);
                figure
            }
            Err(error) => {
                eprintln!("batch: {error:#}");
                f64::NAN
            }
        }
    };
    let mut twin_peak = Vec::new();
    let mut objects = || match twin("objects", &ITEMS.to_string()) {
        Ok(twin) => {
            twin_peak.push(twin.peak_mb);
            twin.per_cpu_second
        }
        Err(_) => f64::NAN,
    };
    let path = input.to_string_lossy().into_owned();
    let mut lines = || twin("lines", &path).map_or(f64::NAN, |twin| twin.per_cpu_second);
    let figures = interleaved(options.rounds, &mut [&mut ours, &mut objects, &mut lines]);
    let unit = "M items/CPU-s";
    let case = "1 M items, default, NDJSON to NDJSON";
    if figures[1].is_nan() {
        report.note("batch", "no JavaScript twin: node is not on the PATH");
    } else {
        report.case(
            "batch",
            case,
            unit,
            figures[0],
            "objects in JS, no JSON",
            figures[1],
        );
        report.case(
            "batch",
            case,
            unit,
            figures[0],
            "JS loop over JSON lines",
            figures[2],
        );
    }
    report.case(
        "batch",
        case,
        unit,
        figures[0],
        "SommOS, figure quoted",
        QUOTED_PEER,
    );
    report.figure("batch", "  peak memory of the process", "MB", median(peaks));
    if !twin_peak.is_empty() {
        report.figure(
            "batch",
            "  peak memory of the JS with objects",
            "MB",
            median(twin_peak),
        );
    }
    Ok(())
}

fn operations(report: &mut Report, input: &Path) -> anyhow::Result<()> {
    let limits = Limits::default();
    let list = serde_json::json!([
        {"type": "filter", "criteria": {"id": {"gte": 100}}},
        {"type": "transform", "transform": {"id": {"type": "multiply", "value": 2}}},
    ]);
    let pipeline = Processor::DataProcessing(parse(&list, &limits)?).row_wise(&limits);
    let (figure, _) = stream(input, pipeline.context("row-wise")?)?;
    report.figure(
        "batch",
        "1 M items, filter and transform, NDJSON",
        "M items/CPU-s",
        figure,
    );
    Ok(())
}

/// Streams the file through the pipeline into nothing: million items a CPU second, and the peak of
/// the process's memory in MB.
fn stream(input: &Path, mut pipeline: RowPipeline) -> anyhow::Result<(f64, f64)> {
    // Resets the peak (Linux); elsewhere it covers the whole run.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let start = cpu_seconds();
    let mut file = File::open(input)?;
    let mut sink = File::create("/dev/null")?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut out = Vec::new();
    let mut held = 0;
    loop {
        let n = file.read(&mut block[held..])?;
        let filled = held + n;
        let whole = match block[..filled].iter().rposition(|&b| b == b'\n') {
            Some(end) => end + 1,
            None if n == 0 => filled,
            None => bail!("a line longer than {BLOCK_BYTES} bytes"),
        };
        out.clear();
        pipeline.apply_lines(&block[..whole], &mut out, &Unstoppable)?;
        sink.write_all(&out)?;
        block.copy_within(whole..filled, 0);
        held = filled - whole;
        if n == 0 {
            break;
        }
    }
    let figure = pipeline.records() as f64 / (cpu_seconds() - start) / 1e6;
    Ok((figure, peak_mb().unwrap_or(f64::NAN)))
}

fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

/// What the JavaScript twin measured: million items a second, and MB.
struct Twin {
    per_second: f64,
    per_cpu_second: f64,
    peak_mb: f64,
}

fn twin(mode: &str, argument: &str) -> anyhow::Result<Twin> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("twins/batch.mjs");
    let output = Command::new("node")
        .arg(script)
        .args([mode, argument])
        .output()?;
    let value: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let number = |name: &str| value[name].as_f64().context("twin's figure");
    let millions = number("items")? / 1e6;
    Ok(Twin {
        per_second: millions / number("wall_s")?,
        per_cpu_second: millions / number("cpu_s")?,
        peak_mb: number("peak_mb")?,
    })
}

fn sandboxed(options: &Options, report: &mut Report, input: &Path) -> anyhow::Result<()> {
    let program = std::env::current_exe()?.with_file_name("sommos-server");
    if !program.exists() {
        let text = "no sandbox: build the server first (cargo build --release -p sommos-server)";
        report.note("batch", text);
        return Ok(());
    }
    let text = std::fs::read_to_string(input)?;
    let lines: Vec<&str> = text.lines().take(ITEMS / 5).collect();
    let chunks: Vec<String> = lines
        .chunks(CHUNK)
        .map(|chunk| format!("[{}]", chunk.join(",")))
        .collect();
    let mut walls = Vec::new();
    let mut ours = || match through_sandbox(&program, &chunks) {
        Ok((cpu_s, wall_s)) => {
            walls.push(lines.len() as f64 / wall_s / 1e6);
            lines.len() as f64 / cpu_s / 1e6
        }
        Err(error) => {
            eprintln!("batch: {error:#}");
            f64::NAN
        }
    };
    let path = input.to_string_lossy().into_owned();
    let mut peer = || twin("lines", &path).map_or(f64::NAN, |twin| twin.per_cpu_second);
    let figures = interleaved(options.rounds, &mut [&mut ours, &mut peer]);
    let case = "200 k items, JS processor in the sandbox";
    let peer_name = "JS loop over JSON lines, no sandbox";
    report.case(
        "batch",
        case,
        "M items/CPU-s",
        figures[0],
        peer_name,
        figures[1],
    );
    report.figure(
        "batch",
        "  one caller, wall time",
        "M items/s",
        median(walls),
    );
    Ok(())
}

/// CPU seconds of this process and its children, and wall seconds.
fn through_sandbox(program: &Path, chunks: &[String]) -> anyhow::Result<(f64, f64)> {
    let before = family_cpu_seconds()?;
    let start = Instant::now();
    let options = SandboxOptions {
        program: program.to_owned(),
        ..SandboxOptions::default()
    };
    let sandbox = Sandbox::new(options)?;
    for chunk in chunks {
        let limits = sandbox::Limits::default();
        sandbox.run(DEFAULT_SOURCE, chunk.as_bytes(), limits, &Unstoppable)?;
    }
    let wall_s = start.elapsed().as_secs_f64();
    // Children count once they are reaped.
    drop(sandbox);
    Ok((family_cpu_seconds()? - before, wall_s))
}

/// User and system time of this process and its reaped children (proc(5), fields 14 to 17).
fn family_cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name in parentheses may hold spaces; the fields behind it do not.
    let (_, fields) = stat.rsplit_once(')').context("/proc/self/stat")?;
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|t| t.parse::<f64>().ok())
        .sum();
    // USER_HZ is 100 on every Linux architecture in use.
    Ok(ticks / 100.0)
}
