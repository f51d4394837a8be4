//! Many vectors at once against one kind of shell.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{Shell, Vector, replay};

/// Cases at once: most of a case is waiting.
pub const THREADS: usize = 4;

/// How the cases of a shell went.
pub struct Tally {
    /// The shell.
    pub shell: &'static str,
    /// Cases that ran.
    pub ran: usize,
    /// Cases that failed.
    pub failed: usize,
}

/// One case's end.
struct Outcome {
    error: Option<String>,
    took: Duration,
}

/// Replays all vectors on so many threads; failures are printed in the vectors' order.
pub fn run<'a>(
    shell: &'static str,
    threads: usize,
    vectors: &[Vector],
    open: impl Fn(&Vector) -> anyhow::Result<Box<dyn Shell + 'a>> + Sync,
) -> Tally {
    let next = AtomicUsize::new(0);
    let outcomes: Vec<OnceLock<Outcome>> = vectors.iter().map(|_| OnceLock::new()).collect();
    std::thread::scope(|scope| {
        for _ in 0..threads {
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
