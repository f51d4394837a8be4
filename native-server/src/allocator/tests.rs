#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc as _, Layout},
    sync::Barrier,
};

use proptest::prelude::*;

use super::{CountingAllocator, PEAK_ERROR_BYTES, figures, ledger::Ledger};

/// A change that a program makes to its heap.
#[derive(Debug, Clone, Copy)]
enum Step {
    Allocate(usize),
    /// Gives back the block at this place, modulo the blocks there are.
    Free(usize),
    Resize(usize, usize),
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![0..200_usize, 0..200_000_usize, 0..4_000_000_usize]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => sizes().prop_map(Step::Allocate),
        2 => any::<usize>().prop_map(Step::Free),
        1 => (any::<usize>(), sizes()).prop_map(|(at, size)| Step::Resize(at, size)),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    /// The twin keeps every block in a list.
    #[test]
    fn agrees_with_a_list_of_blocks(steps in steps()) {
        let ledger = Ledger::new();
        let mut blocks: Vec<usize> = Vec::new();
        let (mut peak, mut allocations, mut deallocations) = (0_u64, 0, 0);
        for step in steps {
            match step {
                Step::Allocate(size) => {
                    ledger.allocated(size);
                    blocks.push(size);
                    allocations += 1;
                }
                Step::Free(at) if !blocks.is_empty() => {
                    ledger.deallocated(blocks.swap_remove(at % blocks.len()));
                    deallocations += 1;
                }
                Step::Resize(at, size) if !blocks.is_empty() => {
                    let at = at % blocks.len();
                    ledger.resized(blocks[at], size);
                    blocks[at] = size;
                }
                Step::Free(_) | Step::Resize(..) => {}
            }
            peak = peak.max(blocks.iter().map(|&size| size as u64).sum());
        }
        let figures = ledger.figures();
        prop_assert_eq!(figures.current_bytes, blocks.iter().map(|&size| size as u64).sum::<u64>());
        prop_assert_eq!(figures.allocations, allocations);
        prop_assert_eq!(figures.deallocations, deallocations);
        prop_assert!(figures.peak_bytes.abs_diff(peak) <= PEAK_ERROR_BYTES);
        prop_assert!(figures.peak_bytes >= figures.current_bytes);
    }
}

/// More threads than shards; each block is given back by another thread than the one that took
/// it, so that shards go far below zero.
#[test]
fn blocks_may_be_given_back_by_another_thread() {
    const THREADS: u64 = 40;
    const BLOCKS: u64 = 40_000;
    let ledger = Ledger::new();
    let all_taken = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (ledger, all_taken) = (&ledger, &all_taken);
            scope.spawn(move || {
                for block in 0..BLOCKS {
                    ledger.allocated((thread * 7 + block % 50) as usize);
                }
                all_taken.wait();
                for block in 0..BLOCKS {
                    ledger.deallocated(((thread + 1) % THREADS * 7 + block % 50) as usize);
                }
            });
        }
    });
    let bytes: u64 = (0..THREADS)
        .map(|thread| BLOCKS * thread * 7 + BLOCKS / 50 * 1225)
        .sum();
    let figures = ledger.figures();
    assert_eq!(figures.current_bytes, 0);
    assert_eq!(figures.allocations, THREADS * BLOCKS);
    assert_eq!(figures.deallocations, THREADS * BLOCKS);
    assert!(
        figures.peak_bytes.abs_diff(bytes) <= PEAK_ERROR_BYTES,
        "{figures:?}, {bytes}"
    );
}

/// Only this test uses the allocator itself: its figures are of the whole process.
#[test]
fn the_allocator_counts_what_it_hands_out() {
    assert_eq!(figures(), None, "not installed");
    let layout = Layout::from_size_align(100, 16).unwrap();
    // SAFETY: the layout's size is not zero; each block goes back once, with the layout it has.
    unsafe {
        let first = CountingAllocator.alloc(layout);
        let second = CountingAllocator.alloc_zeroed(layout);
        let second = CountingAllocator.realloc(second, layout, 3 << 20);
        assert_eq!((*second, *second.add(99)), (0, 0));
        let now = figures().unwrap();
        assert_eq!(
            (now.current_bytes, now.allocations, now.deallocations),
            (3_145_828, 2, 0)
        );
        CountingAllocator.dealloc(first, layout);
        CountingAllocator.dealloc(second, Layout::from_size_align(3 << 20, 16).unwrap());
    }
    let end = figures().unwrap();
    assert_eq!(
        (end.current_bytes, end.allocations, end.deallocations),
        (0, 2, 2)
    );
    assert_eq!(end.peak_bytes, 3_145_828);
}
