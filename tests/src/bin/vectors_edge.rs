//! Replays every vector against the edge worker in workerd.
//!
//! `vectors_edge BUILD [FILTER]`: BUILD is a folder of `edge-worker`, such as `build`.

use std::{path::Path, process::ExitCode, time::Instant};

use anyhow::Context as _;
use sommos_tests::{
    edge_shell::EdgeHost,
    load_all,
    parallel::{THREADS, run},
};

fn main() -> anyhow::Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let build = args.next().context("which build?")?;
    let filter = args.next().unwrap_or_default();
    let started = Instant::now();
    let mut vectors = load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors"))?;
    let files = vectors.len();
    vectors.retain(|vector| vector.id.contains(&filter));
    let host = EdgeHost::start(&build)?;
    let name = host.name();
    let edge = run(name, THREADS, &vectors, |vector| {
        Ok(Box::new(host.open(vector)))
    });
    println!(
        "{name}: {} cases of {files}, {:.1} s",
        edge.ran,
        started.elapsed().as_secs_f64()
    );
    println!("{} passed, {} failed", edge.ran - edge.failed, edge.failed);
    let all = filter.is_empty() && edge.ran != files;
    Ok(if edge.failed > 0 || all {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
