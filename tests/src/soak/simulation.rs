//! The scheduler's simulated histories, many of them.

use std::{
    panic::catch_unwind,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::ensure;
use sommos_core::jobs::simulation::{Tally, simulate};

use super::Options;

/// Plays every seed; an invariant that does not hold panics, which names the seed.
pub(crate) fn check(options: &Options) -> anyhow::Result<()> {
    let next = AtomicU64::new(0);
    let sum = Mutex::new((Tally::default(), Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= options.seeds {
                        break;
                    }
                    let played = catch_unwind(|| simulate(seed));
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    match played {
                        Ok(tally) => add(&mut sum.0, &tally),
                        Err(_) => sum.1.push(seed),
                    }
                }
            });
        }
    });
    let (tally, broken) = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("  {} seeds: {tally:?}", options.seeds);
    ensure!(
        broken.is_empty(),
        "seeds whose invariants broke: {broken:?}"
    );
    ensure!(
        tally.crashes > 0 && tally.stale > 0 && tally.write_failures > 0 && tally.dead > 0,
        "the faults did not happen"
    );
    Ok(())
}

fn add(sum: &mut Tally, one: &Tally) {
    sum.acknowledged += one.acknowledged;
    sum.claims += one.claims;
    sum.stale += one.stale;
    sum.crashes += one.crashes;
    sum.write_failures += one.write_failures;
    sum.dead += one.dead;
    sum.jumps += one.jumps;
}
