//! Chunks that the calling thread and those of the rayon pool take one by one.
//!
//! The caller works too: handing everything over would put it to sleep and wake one thread more,
//! which took longer than a small product. A free thread takes the next chunk, so uneven chunks
//! and late threads cost at most one of them.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

/// How often the caller lets others run before it sleeps until the last chunk is done, some
/// milliseconds at most: being woken takes a tenth of one, as long as a small product.
const YIELDS: usize = 2000;

/// See [`Par::try_map`](super::Par::try_map).
pub(super) fn try_map<T, E, F>(chunks: usize, threads: usize, f: F) -> Result<Vec<T>, E>
where
    T: Send,
    E: Send,
    F: Fn(usize) -> Result<T, E> + Sync + Send,
{
    let helpers = threads.min(chunks).saturating_sub(1);
    if helpers == 0 {
        return (0..chunks).map(f).collect();
    }
    // Relaxed: a chunk's result travels through its own lock, which is free when it is taken.
    let next = AtomicUsize::new(0);
    // Helpers at work; only how long the caller waits for them hangs on it.
    let busy = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<Result<T, E>>>> = (0..chunks).map(|_| Mutex::new(None)).collect();
    let work = || {
        loop {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            let Some(place) = done.get(chunk) else {
                return;
            };
            let result = f(chunk);
            if result.is_err() {
                // Chunks are begun in order: what comes before is on its way, the rest is skipped.
                next.store(chunks, Ordering::Relaxed);
            }
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    rayon::in_place_scope(|scope| {
        (0..helpers).for_each(|_| {
            scope.spawn(|_| {
                busy.fetch_add(1, Ordering::Relaxed);
                work();
                busy.fetch_sub(1, Ordering::Relaxed);
            })
        });
        work();
        let mut patience = YIELDS;
        while patience > 0 && busy.load(Ordering::Relaxed) > 0 {
            patience -= 1;
            std::thread::yield_now();
        }
    });
    // Up to the first error every chunk was begun, so none before it is missing.
    let results = done.into_iter().map_while(|place| {
        let inner = place.into_inner();
        inner.unwrap_or_else(PoisonError::into_inner)
    });
    results.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_their_chunks() {
        for (chunks, threads) in [(0, 2), (1, 2), (7, 1), (1000, 3)] {
            let squares = try_map(chunks, threads, |chunk| Ok::<_, ()>(chunk * chunk));
            let expected: Vec<_> = (0..chunks).map(|chunk| chunk * chunk).collect();
            assert_eq!(squares, Ok(expected));
        }
    }

    #[test]
    fn the_first_error_wins_and_what_was_not_begun_is_skipped() {
        for _ in 0..50 {
            let begun = AtomicUsize::new(0);
            let result: Result<Vec<()>, usize> = try_map(100_000, 4, |chunk| {
                begun.fetch_add(1, Ordering::Relaxed);
                if chunk >= 5 { Err(chunk) } else { Ok(()) }
            });
            assert_eq!(result, Err(5));
            assert!(begun.into_inner() < 100_000);
        }
    }

    #[test]
    fn chunks_may_have_chunks() {
        let sums = try_map(8, 4, |outer| {
            let inner = try_map(50, 4, |inner| Ok::<_, ()>(outer * inner))?;
            Ok::<_, ()>(inner.into_iter().sum::<usize>())
        });
        assert_eq!(sums, Ok((0..8).map(|outer| outer * 1225).collect()));
    }
}
