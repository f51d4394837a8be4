//! How much heap this process holds: a global allocator that counts what it hands out.
//!
//! The binary installs it; a test or another program that does not pays nothing and gets no
//! figures:
//!
//! ```ignore
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//! ```
//!
//! Beside the system's allocator, an allocation or its return costs one relaxed read-modify-write of
//! a cache line that few threads share: about 5 ns.

mod counting;
mod ledger;
mod trim;

#[cfg(test)]
mod tests;

pub use counting::CountingAllocator;
pub use ledger::PEAK_ERROR_BYTES;
pub use trim::trim_after;

use serde::Serialize;

/// What the allocator has handed out since the process began.
///
/// Sums of counters that threads change meanwhile: exact when no thread allocates, else off by
/// what is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AllocatorFigures {
    /// Heap bytes in use as asked for, without the system allocator's own overhead.
    pub current_bytes: u64,
    /// Most bytes in use at any time, within [`PEAK_ERROR_BYTES`] and never below
    /// `current_bytes`.
    pub peak_bytes: u64,
    /// Blocks handed out. A reallocation counts neither here nor below: its block lives on.
    pub allocations: u64,
    /// Blocks given back.
    pub deallocations: u64,
}

/// The figures of this process; none when [`CountingAllocator`] is not its global allocator. O(1).
pub fn figures() -> Option<AllocatorFigures> {
    // A Rust program has allocated before it can ask.
    Some(counting::LEDGER.figures()).filter(|figures| figures.allocations > 0)
}
