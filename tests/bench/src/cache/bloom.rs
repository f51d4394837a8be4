//! The Bloom filter beside `fastbloom`, both sized for the same items and false-positive rate.

use fastbloom::BloomFilter as Peer;
use sommos_core::sketch::BloomFilter;

use crate::{
    Options,
    report::{Report, cpu_seconds, interleaved},
};

const RATE: f64 = 0.01;
const SEED: u64 = 7;

/// Runs a filter that fits into the processor's cache and one that does not.
pub fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    for items in [10_000, 1_000_000, 10_000_000] {
        one_size(report, items, options.rounds.min(5))?;
    }
    Ok(())
}

/// Items as callers have them: a number in bytes of different lengths. They are written a block
/// ahead, for a hash that reads what was just stored waits for the store, and with it for all
/// memory accesses before.
fn count(from: u64, count: u64, mut op: impl FnMut(&[u8]) -> bool) -> u64 {
    const BLOCK: u64 = 256;
    let mut block = vec![[b'w'; 24]; BLOCK as usize];
    let mut yes = 0;
    let end = from + count;
    for start in (from..end).step_by(BLOCK as usize) {
        let numbers = start..end.min(start + BLOCK);
        for (item, i) in block.iter_mut().zip(numbers.clone()) {
            item[..8].copy_from_slice(&i.to_le_bytes());
        }
        for (item, i) in block.iter().zip(numbers) {
            yes += u64::from(op(&item[..8 + (i % 16) as usize]));
        }
    }
    yes
}

/// Million operations a CPU-second of `op` over the items `from..from + items`.
fn speed(from: u64, items: u64, op: impl FnMut(&[u8]) -> bool) -> f64 {
    let start = cpu_seconds();
    std::hint::black_box(count(from, items, op));
    items as f64 / (cpu_seconds() - start) / 1e6
}

fn one_size(report: &mut Report, items: u64, rounds: usize) -> anyhow::Result<()> {
    let empty = BloomFilter::for_items(items, RATE, SEED)?;
    let empty_peer = || {
        Peer::with_false_pos(RATE)
            .seed(&u128::from(SEED))
            .expected_items(items as usize)
    };
    let (mut ours, mut peer) = (empty.clone(), empty_peer());
    let repeat = (2_000_000 / items).max(1);
    let insert = interleaved(
        rounds,
        &mut [
            &mut || {
                (0..repeat).for_each(|_| ours.clear());
                speed(0, items * repeat, |item| ours.add(item))
            },
            &mut || {
                peer.clear();
                speed(0, items * repeat, |item| peer.insert(item))
            },
        ],
    );
    // A filter that holds exactly its items, for queries at the rate it was sized for.
    let (mut ours, mut peer) = (empty, empty_peer());
    speed(0, items, |item| ours.add(item) | peer.insert(item));
    let queries = items * repeat;
    let query = |from: u64| {
        interleaved(
            rounds,
            &mut [
                &mut || speed(from, queries, |item| ours.contains(item)),
                &mut || speed(from, queries, |item| peer.contains(item)),
            ],
        )
    };
    let (strangers, members) = (query(items), query(0));
    let name = |what: &str| format!("bloom {items} items at 0.01, {what}");
    for (what, figures) in [
        ("add", insert),
        ("query strangers", strangers),
        ("query members", members),
    ] {
        if let [ours, peer] = figures[..] {
            report.case(
                "cache",
                &name(what),
                "million ops/CPU-s",
                ours,
                "fastbloom",
                peer,
            );
        }
    }
    let rate_ours = count(items, 2_000_000, |item| ours.contains(item)) as f64 / 2e6;
    let rate_peer = count(items, 2_000_000, |item| peer.contains(item)) as f64 / 2e6;
    let unit = "false-positive rate (less is better)";
    report.case(
        "cache",
        &name("strangers claimed"),
        unit,
        rate_ours,
        "fastbloom",
        rate_peer,
    );
    let bits = |bytes: usize| bytes as f64 * 8.0 / items as f64;
    let peer_bits = bits(peer.num_bits() / 8);
    report.case(
        "cache",
        &name("size"),
        "bits an item",
        bits(ours.memory_usage()),
        "fastbloom",
        peer_bits,
    );
    Ok(())
}
