//! Replays every vector against servers that share a Redis: all of them against one of two, and
//! those of work that servers share once more, asking the two in turn.
//!
//! `vectors_redis [FILTER]`: only the cases whose `group/case` contains FILTER.

use std::{path::Path, process::ExitCode, time::Instant};

use sommos_tests::{
    Vector, load_all,
    parallel::{Tally, run},
    redis_shell::{Asked, Redis, RedisShell, SystemClock, moves},
    server_shell::Host,
};

/// Cases at once: servers that share a Redis wait for it when they begin and when they end.
const THREADS: usize = 8;
/// What does not depend on which server answers.
const SHARED: [&str; 3] = ["batch/", "jobs/", "tasks/"];
/// The clock stands still here, and jobs that two servers took in one millisecond have no order.
const ORDERED: &str = "jobs/list";

fn main() -> anyhow::Result<ExitCode> {
    let clock = SystemClock::still()?;
    let filter = std::env::args().nth(1).unwrap_or_default();
    let started = Instant::now();
    let mut vectors = load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors"))?;
    vectors.retain(|vector| vector.id.contains(&filter));
    let (host, redis) = (Host::new()?, Redis::start()?);
    let replay = |name: &'static str, asked: Asked, vectors: Vec<Vector>| {
        let (moving, still): (Vec<_>, Vec<_>) = vectors.into_iter().partition(moves);
        // There is one system clock: cases that move it have it for themselves.
        [(still, THREADS), (moving, 1)].map(|(vectors, threads)| {
            run(name, threads, &vectors, |vector| {
                let shell = RedisShell::open(&host, &redis, &clock, asked, vector)?;
                Ok(Box::new(shell))
            })
        })
    };
    let shared = |vector: &Vector| {
        vector.id != ORDERED && SHARED.iter().any(|group| vector.id.starts_with(group))
    };
    let again = vectors.clone().into_iter().filter(shared).collect();
    let one = replay("one of two", Asked::One, vectors);
    clock.reset()?;
    let both = replay("both in turn", Asked::Both, again);
    let (mut ran, mut failed) = (0, 0);
    for tally in one.iter().chain(&both) {
        let Tally {
            shell,
            ran: cases,
            failed: bad,
        } = tally;
        println!("{shell}: {cases} cases, {bad} failed");
        (ran, failed) = (ran + cases, failed + bad);
    }
    println!("{:.1} s", started.elapsed().as_secs_f64());
    println!("{} passed, {failed} failed", ran - failed);
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
