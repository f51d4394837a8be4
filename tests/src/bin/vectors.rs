//! Replays every vector against core and against the running server.
//!
//! `vectors [FILTER]`: only the cases whose `group/case` contains FILTER.

use std::{
    path::Path,
    process::ExitCode,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sommos_tests::{Shell, Vector, core_shell::CoreShell, load_all, replay, server_shell::Host};

/// Cases at once: most of a case is waiting.
const THREADS: usize = 4;

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

/// One case's end.
struct Outcome {
    error: Option<String>,
    took: Duration,
}

/// Replays all vectors on a few threads; failures are printed in the vectors' order.
fn run<'a>(
    shell: &'static str,
    vectors: &[Vector],
    open: impl Fn(&Vector) -> anyhow::Result<Box<dyn Shell + 'a>> + Sync,
) -> Tally {
    let next = AtomicUsize::new(0);
    let outcomes: Vec<OnceLock<Outcome>> = vectors.iter().map(|_| OnceLock::new()).collect();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(vector) = vectors.get(index) else {
                        break;
                    };
                    let started = Instant::now();
                    let result = open(vector).and_then(|mut opened| replay(vector, &mut *opened));
                    let outcome = Outcome {
                        error: result.err().map(|error| format!("{error:#}")),
                        took: started.elapsed(),
                    };
                    // Each index is taken by one thread.
                    let _ = outcomes[index].set(outcome);
                }
            });
        }
    });
    report(shell, vectors, &outcomes)
}

fn report(shell: &'static str, vectors: &[Vector], outcomes: &[OnceLock<Outcome>]) -> Tally {
    let mut tally = Tally {
        shell,
        ran: 0,
        failed: 0,
    };
    let mut slowest = (Duration::ZERO, "");
    for (vector, outcome) in vectors.iter().zip(outcomes) {
        let Some(outcome) = outcome.get() else {
            continue;
        };
        tally.ran += 1;
        slowest = slowest.max((outcome.took, &vector.id));
        if let Some(error) = &outcome.error {
            tally.failed += 1;
            println!("FAILED {shell}: {}\n{}", vector.id, indent(error));
        }
    }
    println!(
        "{shell}: slowest {} {:.2} s",
        slowest.1,
        slowest.0.as_secs_f64()
    );
    tally
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
