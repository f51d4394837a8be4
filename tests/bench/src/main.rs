//! Benchmarks: each prints, per case, our figure, the peer's from the same run, and the ratio.

mod batch;
mod cache;
mod compress;
mod distributed;
mod http;
mod load;
mod matrix;
mod plot;
mod queue;
mod report;
mod similarity;
mod twin;
mod zipf;

use std::path::PathBuf;

use anyhow::bail;
use clap::Parser;
use report::Report;

/// Runs workloads side by side with their peers.
#[derive(Parser)]
pub struct Options {
    /// Which: similarity matrix cache compress batch queue distributed http load. None: all.
    names: Vec<String>,
    /// Folder of cache traces (`*.keys.gz`, one decimal key a line); `cache` replays them all.
    #[arg(long)]
    traces: Option<PathBuf>,
    /// Ratings file (userId,itemId,rating,...) that `similarity` compares over.
    #[arg(long)]
    ratings: Option<PathBuf>,
    /// Folder with the shared data sets.
    #[arg(long, default_value = "../shared/data")]
    data: PathBuf,
    /// Also append each case as a JSON line to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Folder that the plots are written to (SVG): bars of each benchmark, cost against size.
    #[arg(long, default_value = "target/bench")]
    plots: PathBuf,
    /// Interleaved rounds; the median is reported.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

type Bench = fn(&Options, &mut Report) -> anyhow::Result<()>;

const BENCHES: [(&str, Bench); 9] = [
    ("similarity", similarity::run),
    ("matrix", matrix::run),
    ("cache", cache::run),
    ("compress", compress::run),
    ("batch", batch::run),
    ("queue", queue::run),
    ("distributed", distributed::run),
    ("http", http::run),
    ("load", load::run),
];

fn main() -> anyhow::Result<()> {
    // A peer that needs a process of its own: this program again.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, sizes @ ..] = &arguments[..]
        && first == http::bare::COMMAND
    {
        return http::bare::main(sizes);
    }
    if arguments
        .first()
        .is_some_and(|first| first == load::stalling::COMMAND)
    {
        return load::stalling::main();
    }
    if let [first, arguments @ ..] = &arguments[..]
        && first == similarity::neighbors::COMMAND
    {
        return similarity::neighbors::main(arguments);
    }
    let options = Options::parse();
    if let Some(unknown) = options
        .names
        .iter()
        .find(|n| !BENCHES.iter().any(|b| b.0 == **n))
    {
        let known: Vec<_> = BENCHES.iter().map(|b| b.0).collect();
        bail!("unknown benchmark {unknown:?}; known: {}", known.join(" "));
    }
    let mut report = Report::new(options.json.as_deref())?;
    for (name, run) in BENCHES {
        if options.names.is_empty() || options.names.iter().any(|n| n == name) {
            let result = run(&options, &mut report);
            // After each, and after a failure too: a long run is not lost with its last part.
            report.draw(&options.plots)?;
            result?;
        }
    }
    report.finish();
    Ok(())
}
