//! Replays every vector against core and against the running server.
//!
//! `vectors [FILTER]`: only the cases whose `group/case` contains FILTER.

use std::{path::Path, process::ExitCode, time::Instant};

use sommos_tests::{
    core_shell::CoreShell,
    load_all,
    parallel::{THREADS, Tally, run},
    server_shell::Host,
};

fn main() -> anyhow::Result<ExitCode> {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let started = Instant::now();
    let mut vectors = load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors"))?;
    let files = vectors.len();
    vectors.retain(|vector| vector.id.contains(&filter));
    let host = Host::new()?;
    let core = run("core", THREADS, &vectors, |vector| {
        Ok(Box::new(CoreShell::new(vector)?))
    });
    let server = run("server", THREADS, &vectors, |vector| {
        Ok(Box::new(host.open(vector)?))
    });
    for tally in [&core, &server] {
        let Tally { shell, ran, failed } = tally;
        println!("{shell}: {ran} cases, {failed} failed");
    }
    println!("{files} files, {:.1} s", started.elapsed().as_secs_f64());
    let counts_differ = core.ran != server.ran || (filter.is_empty() && core.ran != files);
    if counts_differ {
        println!("the shells did not run the same number of cases");
    }
    let failed = core.failed + server.failed;
    println!("{} passed, {failed} failed", core.ran + server.ran - failed);
    Ok(if failed > 0 || counts_differ {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
