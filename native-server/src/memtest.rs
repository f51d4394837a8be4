//! Real allocations through the cache and the structures: the memory test.

use serde::Serialize;
use sommos_core::{
    buffer::CircularBuffer,
    cache::{Cache, CacheConfig},
    control::{Control, Stopped},
    rng::Rng,
    sketch::BloomFilter,
};

/// Iterations between two questions to the control.
const BLOCK: u64 = 256;

/// What a memory test found, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryReport {
    /// Values stored.
    pub iterations: u64,
    /// Bytes of each.
    pub data_size: usize,
    /// Live heap before.
    pub initial_memory: u64,
    /// The most live heap seen.
    pub peak_memory: u64,
    /// Live heap after everything was released.
    pub final_memory: u64,
    /// Live heap with everything stored, less that before.
    pub memory_increase: i64,
    /// memoryIncrease / iterations.
    pub memory_per_iteration: f64,
    /// What stayed after the release. Other threads allocate meanwhile: small amounts of either
    /// sign are theirs.
    pub leaked: i64,
    /// Whether the figures are the allocator's, or the structures' own sums.
    pub from_allocator: bool,
}

/// Stores `iterations` values of `data_size` bytes in a cache, their keys in a Bloom filter and a
/// circular buffer, measures, releases everything and measures again. `figures` tells the live
/// bytes of the heap; without it the structures' own sums are reported.
///
/// # Errors
/// [`Stopped`] when the control says so.
pub fn run(
    iterations: u64,
    data_size: usize,
    figures: &dyn Fn() -> Option<u64>,
    control: &dyn Control,
) -> Result<MemoryReport, Stopped> {
    let from_allocator = figures().is_some();
    let initial = figures().unwrap_or(0);
    let mut peak = initial;
    let held = {
        let mut structures = Structures::new(iterations);
        for i in 0..iterations {
            if i.is_multiple_of(BLOCK) {
                control.checkpoint(i, iterations)?;
                peak = peak.max(figures().unwrap_or_else(|| structures.bytes()));
            }
            structures.store(i, data_size);
        }
        figures().unwrap_or_else(|| structures.bytes())
    };
    let last = figures().unwrap_or(0);
    let increase = held as i64 - initial as i64;
    Ok(MemoryReport {
        iterations,
        data_size,
        initial_memory: initial,
        peak_memory: peak.max(held),
        final_memory: last,
        memory_increase: increase,
        memory_per_iteration: increase as f64 / iterations.max(1) as f64,
        leaked: last as i64 - initial as i64,
        from_allocator,
    })
}

struct Structures {
    cache: Option<Cache<u64, Vec<u8>>>,
    keys: Option<CircularBuffer<u64>>,
    seen: Option<BloomFilter>,
    rng: Rng,
}

impl Structures {
    /// Sizes are within the limits of the request; a structure that refuses them is left out.
    fn new(iterations: u64) -> Self {
        let entries = usize::try_from(iterations).unwrap_or(usize::MAX).max(1);
        let config = CacheConfig {
            max_entries: entries,
            max_weight_bytes: u64::MAX,
            ..CacheConfig::default()
        };
        Self {
            cache: Cache::new(config).ok(),
            keys: CircularBuffer::new(entries.min(100_000)).ok(),
            seen: BloomFilter::for_items(iterations.max(1), 0.01, 0).ok(),
            rng: Rng::new(0),
        }
    }

    fn store(&mut self, key: u64, data_size: usize) {
        let mut value = vec![0; data_size];
        // Every page is touched, with bytes that nothing could merge or compress.
        value
            .iter_mut()
            .step_by(64)
            .for_each(|byte| *byte = self.rng.next_u64() as u8);
        if let Some(cache) = &mut self.cache {
            // Refused only over the weight limit, which there is none of.
            let _ = cache.set(
                sommos_core::time::Timestamp(0),
                key,
                value,
                data_size as u64,
                None,
            );
        }
        if let Some(keys) = &mut self.keys {
            keys.push(key);
        }
        if let Some(seen) = &mut self.seen {
            seen.add(&key.to_le_bytes());
        }
    }

    fn bytes(&self) -> u64 {
        self.cache.as_ref().map_or(0, Cache::weight_bytes)
            + self.keys.as_ref().map_or(0, |k| k.memory_usage() as u64)
            + self.seen.as_ref().map_or(0, |s| s.memory_usage() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sommos_core::control::Unstoppable;

    #[test]
    fn what_is_stored_is_seen() {
        let report = run(1000, 1000, &|| None, &Unstoppable).unwrap();
        assert!(!report.from_allocator);
        assert!(report.memory_increase >= 1_000_000, "{report:?}");
        assert!(report.memory_per_iteration < 1500.0, "{report:?}");
    }

    #[test]
    fn it_stops_when_told() {
        struct Stop;
        impl Control for Stop {
            fn checkpoint(&self, _: u64, _: u64) -> Result<(), Stopped> {
                Err(Stopped::Cancelled)
            }
        }
        assert_eq!(run(1000, 10, &|| None, &Stop), Err(Stopped::Cancelled));
    }
}
