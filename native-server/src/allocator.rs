//! The system's allocator, counted.
//!
//! Counters are spread over cache lines by thread, so that counting costs one uncontended relaxed
//! addition and no more than a nanosecond or two. Sums are read on demand.
#![allow(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait; this leaf only forwards to System"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
};

/// Counter cells; more threads than this share some.
const CELLS: usize = 16;

/// One cache line (two, for the neighbour prefetch) of counters.
#[repr(align(128))]
struct Counters {
    allocations: AtomicU64,
    deallocations: AtomicU64,
    /// Allocated less deallocated here: a thread may free what another allocated.
    live: AtomicI64,
}

static COUNTERS: [Counters; CELLS] = [const {
    Counters {
        allocations: AtomicU64::new(0),
        deallocations: AtomicU64::new(0),
        live: AtomicI64::new(0),
    }
}; CELLS];
static NEXT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);

thread_local! {
    // Const-initialized and without a destructor: touching it never allocates.
    static CELL: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn counters() -> &'static Counters {
    let index = CELL.try_with(|cell| {
        if cell.get() == usize::MAX {
            cell.set(NEXT.fetch_add(1, Ordering::Relaxed) % CELLS);
        }
        cell.get()
    });
    &COUNTERS[index.unwrap_or(0)]
}

/// Forwards to [`System`] and counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct CountingAllocator;

impl CountingAllocator {
    fn allocated(size: usize) {
        let counters = counters();
        counters.allocations.fetch_add(1, Ordering::Relaxed);
        counters.live.fetch_add(size as i64, Ordering::Relaxed);
    }

    fn deallocated(size: usize) {
        let counters = counters();
        counters.deallocations.fetch_add(1, Ordering::Relaxed);
        counters.live.fetch_sub(size as i64, Ordering::Relaxed);
    }
}

// SAFETY: every method hands its arguments unchanged to `System`, which upholds the contract of
// `GlobalAlloc`, and returns what it returned. Counting touches only atomics and a const
// thread-local, so it neither allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are System's.
        let pointer = unsafe { System.alloc(layout) };
        if !pointer.is_null() {
            Self::allocated(layout.size());
        }
        pointer
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are System's.
        let pointer = unsafe { System.alloc_zeroed(layout) };
        if !pointer.is_null() {
            Self::allocated(layout.size());
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::deallocated(layout.size());
        // SAFETY: the caller's promises are System's: `pointer` came from `alloc` above, that is
        // from System, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are System's, as in `dealloc`.
        let moved = unsafe { System.realloc(pointer, layout, new_size) };
        if !moved.is_null() {
            Self::deallocated(layout.size());
            Self::allocated(new_size);
        }
        moved
    }
}

/// What the allocator counted since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllocatorFigures {
    /// Bytes allocated and not freed.
    pub live_bytes: u64,
    /// The most live bytes that any reading of these figures saw; the server reads them with each
    /// sample of the system.
    pub peak_bytes: u64,
    /// Allocations; growing or shrinking one counts as a new one.
    pub allocations: u64,
    /// Deallocations.
    pub deallocations: u64,
}

/// The figures; `None` when [`CountingAllocator`] is not the process's allocator.
#[must_use]
pub fn figures() -> Option<AllocatorFigures> {
    let sum = |count: fn(&Counters) -> u64| COUNTERS.iter().map(count).sum::<u64>();
    let allocations = sum(|c| c.allocations.load(Ordering::Relaxed));
    if allocations == 0 {
        return None;
    }
    let live: i64 = COUNTERS
        .iter()
        .map(|c| c.live.load(Ordering::Relaxed))
        .sum();
    let live_bytes = u64::try_from(live).unwrap_or(0);
    let peak_bytes = PEAK
        .fetch_max(live_bytes, Ordering::Relaxed)
        .max(live_bytes);
    let deallocations = sum(|c| c.deallocations.load(Ordering::Relaxed));
    Some(AllocatorFigures {
        live_bytes,
        peak_bytes,
        allocations,
        deallocations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted_through_their_life() {
        let layout = Layout::from_size_align(1000, 8).unwrap();
        let before: i64 = COUNTERS
            .iter()
            .map(|c| c.live.load(Ordering::Relaxed))
            .sum();
        // SAFETY: the layout is not empty; the block is freed with the layout it then has.
        unsafe {
            let block = CountingAllocator.alloc(layout);
            assert!(!block.is_null());
            let block = CountingAllocator.realloc(block, layout, 3000);
            assert!(!block.is_null());
            let held: i64 = COUNTERS
                .iter()
                .map(|c| c.live.load(Ordering::Relaxed))
                .sum();
            assert_eq!(held - before, 3000);
            CountingAllocator.dealloc(block, Layout::from_size_align(3000, 8).unwrap());
        }
        let after: i64 = COUNTERS
            .iter()
            .map(|c| c.live.load(Ordering::Relaxed))
            .sum();
        assert_eq!(after, before);
        assert!(figures().unwrap().allocations >= 2);
    }
}
