//! The long tests against the release binary: `soak [NAME...]`, none: all.

#[path = "../soak/mod.rs"]
mod soak;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;
use soak::{CHECKS, Options};

#[derive(Parser)]
#[command(about = "Long tests: simulation kill hostile limits cancel golden drain")]
struct Cli {
    /// Which checks; none: all.
    names: Vec<String>,
    /// Seeds of `simulation`.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// Rounds of `kill`.
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// Rounds of `drain`.
    #[arg(long, default_value_t = 10)]
    drains: u32,
    /// Seed of what is drawn by lot; absent: from the clock, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Folder of the real data of `golden`.
    #[arg(long, default_value = "../shared/data")]
    data: PathBuf,
    /// Absent real data is no failure.
    #[arg(long)]
    allow_missing: bool,
    /// `limits` asks the edge worker in this folder of edge-worker, such as `build`.
    #[arg(long, value_name = "BUILD")]
    edge: Option<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let known = |name: &str| CHECKS.iter().any(|check| check.0 == name);
    if let Some(name) = cli.names.iter().find(|name| !known(name)) {
        let names: Vec<_> = CHECKS.iter().map(|check| check.0).collect();
        eprintln!("no check is named {name:?}; known: {}", names.join(" "));
        return ExitCode::FAILURE;
    }
    let options = Options {
        seeds: cli.seeds,
        rounds: cli.rounds,
        drains: cli.drains,
        seed: cli.seed.unwrap_or_else(clock_seed),
        data: cli.data,
        allow_missing: cli.allow_missing,
        edge: cli.edge,
    };
    println!("seed {}", options.seed);
    let (mut passed, mut failed) = (0, 0);
    for (name, check) in CHECKS {
        if !cli.names.is_empty() && !cli.names.iter().any(|n| n == name) {
            continue;
        }
        println!("{name}");
        let began = Instant::now();
        let result = check(&options);
        let took = began.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                passed += 1;
                println!("{name}: ok ({took:.1} s)");
            }
            Err(error) => {
                failed += 1;
                println!("{name}: FAILED: {error:#} ({took:.1} s)");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Any number that differs from run to run.
fn clock_seed() -> u64 {
    std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(1, |t| t.as_millis() as u64)
}
