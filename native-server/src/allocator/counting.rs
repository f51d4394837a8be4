//! The allocator itself: the system's, and a note of each block in the ledger.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};

use super::ledger::Ledger;

pub(super) static LEDGER: Ledger = Ledger::new();

/// The system's allocator, counted. All instances share their figures.
#[derive(Debug, Clone, Copy, Default)]
pub struct CountingAllocator;

// SAFETY: every block comes from `System` with the caller's own layout and goes back to it
// unchanged, so `System`'s guarantees are this allocator's. The ledger neither allocates nor
// unwinds: it only changes atomics.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises about `layout` are those that `System` asks for.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            LEDGER.allocated(layout.size());
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            LEDGER.allocated(layout.size());
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LEDGER.deallocated(layout.size());
        // SAFETY: the caller got `block` from this allocator with this `layout`, so it is
        // `System`'s.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: `block` is `System`'s as for `dealloc`; `size` is not zero and does not overflow
        // by the caller's promise.
        let moved = unsafe { System.realloc(block, layout, size) };
        if !moved.is_null() {
            LEDGER.resized(layout.size(), size);
        }
        moved
    }
}
