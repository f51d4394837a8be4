//! The counters behind the figures, spread over shards so that threads seldom share one.

use std::{
    cell::Cell,
    sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use super::AllocatorFigures;

const SHARDS: usize = 16;
/// A shard settles once it has grown or shrunk by so many bytes.
const SETTLE_BYTES: i64 = 64 << 10;
/// A shard settles once it has counted so many allocations or deallocations: half of a field.
const SETTLE_COUNT: u64 = 1 << 15;
/// Larger blocks go straight to the totals, so that a shard's 32-bit field overflows only if 2000
/// threads meet on it within the few instructions between a note and its settlement.
const DIRECT_BYTES: usize = 1 << 20;

/// How far the peak may be off: what 16 shards keep to themselves before they settle.
pub const PEAK_ERROR_BYTES: u64 = SHARDS as u64 * SETTLE_BYTES as u64;

/// Allocations and deallocations as one word, so that a note is one atomic addition: bytes
/// (signed) in the upper 32 bits, allocations in the next 16, deallocations in the lowest 16.
#[derive(Debug, Clone, Copy)]
struct Notes(u64);

impl Notes {
    const ALLOCATION: u64 = 1 << 16;
    const DEALLOCATION: u64 = 1;

    const fn bytes(self) -> i64 {
        self.0 as i64 >> 32
    }

    const fn allocations(self) -> u64 {
        (self.0 >> 16) & 0xffff
    }

    const fn deallocations(self) -> u64 {
        self.0 & 0xffff
    }

    const fn is_due(self) -> bool {
        self.bytes().unsigned_abs() >= SETTLE_BYTES as u64
            || self.allocations() >= SETTLE_COUNT
            || self.deallocations() >= SETTLE_COUNT
    }
}

/// A pair of cache lines: neighbours are fetched together.
#[derive(Debug)]
#[repr(align(128))]
struct Shard(AtomicU64);

/// What the shards have settled.
#[derive(Debug)]
#[repr(align(128))]
struct Totals {
    bytes: AtomicI64,
    peak: AtomicI64,
    allocations: AtomicU64,
    deallocations: AtomicU64,
}

/// Counts bytes and blocks; 2.2 kB.
#[derive(Debug)]
pub(super) struct Ledger {
    shards: [Shard; SHARDS],
    totals: Totals,
}

impl Ledger {
    pub(super) const fn new() -> Self {
        Self {
            shards: [const { Shard(AtomicU64::new(0)) }; SHARDS],
            totals: Totals {
                bytes: AtomicI64::new(0),
                peak: AtomicI64::new(0),
                allocations: AtomicU64::new(0),
                deallocations: AtomicU64::new(0),
            },
        }
    }

    #[inline]
    pub(super) fn allocated(&self, size: usize) {
        if size >= DIRECT_BYTES {
            self.totals.allocations.fetch_add(1, Relaxed);
            self.settle_bytes(size as i64);
        } else {
            self.note((size as u64) << 32 | Notes::ALLOCATION);
        }
    }

    #[inline]
    pub(super) fn deallocated(&self, size: usize) {
        if size >= DIRECT_BYTES {
            self.totals.deallocations.fetch_add(1, Relaxed);
            self.settle_bytes(-(size as i64));
        } else {
            self.note(((size as u64) << 32).wrapping_neg() | Notes::DEALLOCATION);
        }
    }

    #[inline]
    pub(super) fn resized(&self, from: usize, to: usize) {
        let change = to as i64 - from as i64;
        if change.unsigned_abs() >= DIRECT_BYTES as u64 {
            self.settle_bytes(change);
        } else {
            self.note((change << 32) as u64);
        }
    }

    #[inline]
    fn note(&self, note: u64) {
        let shard = &self.shards[shard_of_thread()].0;
        let notes = Notes(shard.fetch_add(note, Relaxed).wrapping_add(note));
        if notes.is_due() {
            self.settle(shard);
        }
    }

    #[cold]
    fn settle(&self, shard: &AtomicU64) {
        let notes = Notes(shard.swap(0, Relaxed));
        self.totals
            .allocations
            .fetch_add(notes.allocations(), Relaxed);
        self.totals
            .deallocations
            .fetch_add(notes.deallocations(), Relaxed);
        self.settle_bytes(notes.bytes());
    }

    fn settle_bytes(&self, bytes: i64) {
        let total = self.totals.bytes.fetch_add(bytes, Relaxed) + bytes;
        // Read first: a process seldom is at its peak, and a read leaves the line shared.
        if total > self.totals.peak.load(Relaxed) {
            self.totals.peak.fetch_max(total, Relaxed);
        }
    }

    pub(super) fn figures(&self) -> AllocatorFigures {
        let mut current = self.totals.bytes.load(Relaxed);
        let mut allocations = self.totals.allocations.load(Relaxed);
        let mut deallocations = self.totals.deallocations.load(Relaxed);
        for shard in &self.shards {
            let notes = Notes(shard.0.load(Relaxed));
            current += notes.bytes();
            allocations += notes.allocations();
            deallocations += notes.deallocations();
        }
        let peak = self.totals.peak.fetch_max(current, Relaxed).max(current);
        AllocatorFigures {
            current_bytes: current.max(0).unsigned_abs(),
            peak_bytes: peak.max(0).unsigned_abs(),
            allocations,
            deallocations,
        }
    }
}

/// Threads take shards in turn. The variable is constant at first and needs no destructor, so
/// that reaching it never allocates on targets with native thread-local storage (all that the
/// server is built for).
#[inline]
fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    SHARD
        .try_with(|shard| {
            if shard.get() == usize::MAX {
                shard.set(NEXT.fetch_add(1, Relaxed) % SHARDS);
            }
            shard.get()
        })
        .unwrap_or(0)
        % SHARDS
}
