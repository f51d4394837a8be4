//! Replays every vector against core and against the running server.
//!
//! `vectors [FILTER]`: only the cases whose `group/case` contains FILTER.

use std::{path::Path, process::ExitCode, time::Instant};

use sommos_tests::{Shell, Vector, core_shell::CoreShell, load_all, replay, server_shell::Host};

fn main() -> anyhow::Result<ExitCode> {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let started = Instant::now();
    let mut vectors = load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors"))?;
    let files = vectors.len();
    vectors.retain(|vector| vector.id.contains(&filter));
    let host = Host::new()?;
    let core = run("core", &vectors, |vector| {
        Ok(Box::new(CoreShell::new(vector)?))
    });
    let server = run("server", &vectors, |vector| {
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

struct Tally {
    shell: &'static str,
    ran: usize,
    failed: usize,
}

fn run<'a>(
    shell: &'static str,
    vectors: &[Vector],
    open: impl Fn(&Vector) -> anyhow::Result<Box<dyn Shell + 'a>>,
) -> Tally {
    let mut tally = Tally {
        shell,
        ran: 0,
        failed: 0,
    };
    for vector in vectors {
        tally.ran += 1;
        let result = open(vector).and_then(|mut opened| replay(vector, &mut *opened));
        if let Err(error) = result {
            tally.failed += 1;
            println!(
                "FAILED {shell}: {}\n{}",
                vector.id,
                indent(&format!("{error:#}"))
            );
        }
    }
    tally
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
