//! Real allocations through the cache and the structures: the memory test.

use sommos_core::{
    buffer::{BufferError, CircularBuffer},
    cache::{Cache, CacheConfig, CacheError},
    control::{Control, Stopped},
    rng::Rng,
    sketch::{BloomFilter, SketchError},
    time::Timestamp,
    wire::testing::{MemoryReport, MemorySource},
};
use thiserror::Error;

/// Most iterations of one test.
pub const ITERATIONS_MAX: u64 = 10_000_000;
/// Most bytes of data that a test holds at once; beyond it the structures give up their oldest.
pub const HELD_BYTES_MAX: u64 = 256 << 20;
/// Largest item: one for each of the two structures, and one in the making.
pub const DATA_SIZE_MAX: usize = (HELD_BYTES_MAX / 4) as usize;

/// Seed of the data: the same test allocates the same.
const SEED: u64 = 0x50_4d_4d_05;
/// Data written between two checkpoints: a millisecond or so, page faults included.
const BLOCK_BYTES: usize = 1 << 20;
/// Items stored between two checkpoints at most.
const BLOCK_ITEMS: u64 = 256;
/// What an item costs beside its data, bytes; for the bound on what is held.
const ITEM_OVERHEAD_BYTES: u64 = 128;
/// False positives of the Bloom filter.
const BLOOM_RATE: f64 = 0.01;

/// Why a memory test has no result.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum MemoryTestError {
    /// The caller stopped it; everything was released.
    #[error("memory test: {0}")]
    Stopped(#[from] Stopped),
    /// A count or size out of range.
    #[error("memory test {field} is {value}: must be {min} to {max}")]
    Range {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Least value allowed.
        min: u64,
        /// Greatest value allowed.
        max: u64,
    },
    /// The cache refused.
    #[error("memory test: {0}")]
    Cache(#[from] CacheError),
    /// The circular buffer refused.
    #[error("memory test: {0}")]
    Buffer(#[from] BufferError),
    /// The Bloom filter refused.
    #[error("memory test: {0}")]
    Sketch(#[from] SketchError),
}

/// The structures under test. Items go to the cache and to the buffer in turn; the filter knows
/// them all.
struct Structures {
    cache: Cache<u64, Vec<u8>>,
    buffer: CircularBuffer<Vec<u8>>,
    buffer_bytes: u64,
    seen: BloomFilter,
}

impl Structures {
    fn new(iterations: u64, data_size: usize) -> Result<Self, MemoryTestError> {
        let fit = HELD_BYTES_MAX / 2 / (data_size as u64 + ITEM_OVERHEAD_BYTES);
        let items = usize::try_from(fit.min(iterations.div_ceil(2)).max(1)).unwrap_or(usize::MAX);
        Ok(Self {
            cache: Cache::new(CacheConfig {
                max_entries: items,
                max_weight_bytes: HELD_BYTES_MAX,
                default_ttl_ms: None,
                entry_overhead_bytes: 0,
            })?,
            buffer: CircularBuffer::new(items)?,
            buffer_bytes: 0,
            seen: BloomFilter::for_items(iterations, BLOOM_RATE, SEED)?,
        })
    }

    fn store(&mut self, number: u64, data: Vec<u8>) -> Result<(), CacheError> {
        self.seen.add(&number.to_le_bytes());
        let bytes = data.capacity() as u64;
        if number.is_multiple_of(2) {
            self.cache.set(Timestamp(0), number, data, bytes, None)?;
        } else {
            self.buffer_bytes += bytes;
            let oldest = self.buffer.push(data);
            self.buffer_bytes -= oldest.map_or(0, |oldest| oldest.capacity() as u64);
        }
        Ok(())
    }

    /// What they say they hold, bytes.
    fn memory_usage(&self) -> u64 {
        let tables =
            self.cache.allocated_bytes() + self.buffer.memory_usage() + self.seen.memory_usage();
        self.cache.weight_bytes() + self.buffer_bytes + tables as u64
    }
}

/// Stores `iterations` items of `data_size` random bytes, releases them, and tells what that did to
/// the heap. `figures` tells the live heap, bytes; where it does not know, the structures' own
/// accounts are used. Holds [`HELD_BYTES_MAX`] at most; O(iterations * `data_size`).
///
/// # Errors
/// [`MemoryTestError`] when a number is out of range or `control` stopped it.
pub fn run(
    iterations: u64,
    data_size: usize,
    figures: &dyn Fn() -> Option<u64>,
    control: &dyn Control,
) -> Result<MemoryReport, MemoryTestError> {
    check("iterations", iterations, 1, ITERATIONS_MAX)?;
    check("dataSize", data_size as u64, 0, DATA_SIZE_MAX as u64)?;
    let initial = figures();
    let measure = |structures: &Structures| {
        initial
            .and_then(|_| figures())
            .unwrap_or_else(|| structures.memory_usage())
    };
    let mut structures = Structures::new(iterations, data_size)?;
    let mut rng = Rng::new(SEED);
    let mut peak = initial.unwrap_or(0).max(measure(&structures));
    let block = (BLOCK_BYTES as u64 / data_size.max(1) as u64).clamp(1, BLOCK_ITEMS);
    for number in 0..iterations {
        if number % block == 0 {
            control.checkpoint(number, iterations)?;
            peak = peak.max(measure(&structures));
        }
        let data = random_bytes(data_size, &mut rng, || {
            control.checkpoint(number, iterations)
        })?;
        structures.store(number, data)?;
    }
    let filled = measure(&structures);
    drop(structures);
    let before = initial.unwrap_or(0);
    let after = initial.and_then(|_| figures()).unwrap_or(0);
    control.checkpoint(iterations, iterations)?;
    let increase = difference(filled, before);
    Ok(MemoryReport {
        iterations,
        data_size,
        initial_memory: before,
        peak_memory: peak.max(filled),
        final_memory: after,
        memory_increase: increase,
        memory_per_iteration: increase as f64 / iterations as f64,
        leaked: difference(after, before),
        source: match initial {
            Some(_) => MemorySource::Allocator,
            None => MemorySource::Structures,
        },
    })
}

fn check(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), MemoryTestError> {
    if value < min || value > max {
        return Err(MemoryTestError::Range {
            field,
            value,
            min,
            max,
        });
    }
    Ok(())
}

/// Random, so that no page of it can be shared or compressed away.
fn random_bytes(
    size: usize,
    rng: &mut Rng,
    mut checkpoint: impl FnMut() -> Result<(), Stopped>,
) -> Result<Vec<u8>, Stopped> {
    let mut data = vec![0; size];
    for (at, block) in data.chunks_mut(BLOCK_BYTES).enumerate() {
        if at > 0 {
            checkpoint()?;
        }
        for word in block.chunks_mut(8) {
            word.copy_from_slice(&rng.next_u64().to_le_bytes()[..word.len()]);
        }
    }
    Ok(data)
}

fn difference(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).unwrap_or(if a > b { i64::MAX } else { i64::MIN })
}

#[cfg(test)]
mod tests {
    use std::{
        cell::RefCell,
        sync::atomic::{AtomicU64, Ordering},
    };

    use sommos_core::control::Unstoppable;

    use super::*;

    #[test]
    fn the_structures_account_for_the_data() {
        let report = run(1000, 1000, &|| None, &Unstoppable).unwrap();
        assert_eq!(report.source, MemorySource::Structures);
        assert_eq!(
            (report.initial_memory, report.final_memory, report.leaked),
            (0, 0, 0)
        );
        let increase = report.memory_increase as u64;
        let tables = increase - 1_000_000;
        assert!(
            tables > 0 && tables < 1000 * ITEM_OVERHEAD_BYTES * 2,
            "{report:?}"
        );
        assert_eq!(report.peak_memory, increase);
        assert_eq!(report.memory_per_iteration, increase as f64 / 1000.0);
    }

    #[test]
    fn what_is_held_is_bounded() {
        // Four times the bound, so that both structures have to give up items.
        let size = 8 << 20;
        let report = run(128, size, &|| None, &Unstoppable).unwrap();
        assert!(
            report.peak_memory <= HELD_BYTES_MAX + size as u64,
            "{report:?}"
        );
        assert!(
            report.memory_per_iteration < size as f64 / 2.0,
            "{report:?}"
        );
    }

    #[test]
    fn figures_are_told_as_differences() {
        // A heap of a known course: the last figure is the one after the release.
        let course = RefCell::new([500, 900, 2000, 600, 450].into_iter());
        let last = || course.borrow_mut().next();
        let report = run(1, 10, &last, &Unstoppable).unwrap();
        assert_eq!(report.source, MemorySource::Allocator);
        assert_eq!((report.initial_memory, report.final_memory), (500, 450));
        assert_eq!(
            (report.memory_increase, report.memory_per_iteration),
            (100, 100.0)
        );
        assert_eq!((report.peak_memory, report.leaked), (2000, -50));
        let json = serde_json::to_value(report).unwrap();
        assert_eq!(
            (&json["dataSize"], &json["memoryIncrease"]),
            (&10.into(), &100.into())
        );
        assert_eq!(json["source"], "allocator");
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let refuse = |iterations, size| run(iterations, size, &|| None, &Unstoppable).unwrap_err();
        assert!(matches!(
            refuse(0, 1),
            MemoryTestError::Range {
                field: "iterations",
                ..
            }
        ));
        assert!(matches!(
            refuse(u64::MAX, 1),
            MemoryTestError::Range {
                field: "iterations",
                ..
            }
        ));
        let large = refuse(1, DATA_SIZE_MAX + 1);
        assert!(matches!(
            large,
            MemoryTestError::Range {
                field: "dataSize",
                ..
            }
        ));
        assert!(run(3, 0, &|| None, &Unstoppable).is_ok());
    }

    /// Stops at the checkpoint of this number.
    struct StopAt(AtomicU64);

    impl Control for StopAt {
        fn checkpoint(&self, done: u64, total: u64) -> Result<(), Stopped> {
            assert!(done <= total);
            if self.0.fetch_sub(1, Ordering::Relaxed) == 0 {
                return Err(Stopped::Cancelled);
            }
            Ok(())
        }
    }

    #[test]
    fn a_stop_is_heeded_between_items_and_within_one() {
        for (iterations, size) in [(10_000, 10), (1, 10 << 20)] {
            let control = StopAt(AtomicU64::new(3));
            let outcome = run(iterations, size, &|| None, &control);
            assert_eq!(outcome, Err(MemoryTestError::Stopped(Stopped::Cancelled)));
        }
    }
}
