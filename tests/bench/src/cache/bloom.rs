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

/// Million operations a CPU-second of `op` over the items `from..from + items`, again and again
/// until it is two million at least.
fn speed(from: u64, items: u64, mut op: impl FnMut(&[u8]) -> bool) -> f64 {
    let passes = 2_000_000_u64.div_ceil(items);
    let start = cpu_seconds();
    for _ in 0..passes {
        std::hint::black_box(count(from, items, &mut op));
    }
    (items * passes) as f64 / (cpu_seconds() - start) / 1e6
}

fn one_size(report: &mut Report, items: u64, rounds: usize) -> anyhow::Result<()> {
    let mut ours = BloomFilter::for_items(items, RATE, SEED)?;
    let mut peer = Peer::with_false_pos(RATE)
        .seed(&u128::from(SEED))
        .expected_items(items as usize);
    let mut add_ours = || {
        ours.clear();
        speed(0, items, |item| ours.add(item))
    };
    let mut add_peer = || {
        peer.clear();
        speed(0, items, |item| peer.insert(item))
    };
    let add = interleaved(rounds, &mut [&mut add_ours, &mut add_peer]);
    // Both now hold exactly the items that they were sized for.
    let query = |from: u64| {
        let mut query_ours = || speed(from, items, |item| ours.contains(item));
        let mut query_peer = || speed(from, items, |item| peer.contains(item));
        interleaved(rounds, &mut [&mut query_ours, &mut query_peer])
    };
    let (strangers, members) = (query(items), query(0));
    let mut case = |what: &str, unit: &str, ours: f64, theirs: f64| {
        let name = format!("bloom {items} items at {RATE}, {what}");
        report.case("cache", &name, unit, ours, "fastbloom", theirs);
    };
    for (what, figures) in [
        ("add", add),
        ("query strangers", strangers),
        ("query members", members),
    ] {
        if let [ours, theirs] = figures[..] {
            case(what, "million ops/CPU-s", ours, theirs);
        }
    }
    let claimed_ours = count(items, 2_000_000, |item| ours.contains(item)) as f64 / 2e6;
    let claimed_peer = count(items, 2_000_000, |item| peer.contains(item)) as f64 / 2e6;
    let unit = "false-positive rate (less is better)";
    case("strangers claimed", unit, claimed_ours, claimed_peer);
    let size = |bits: u64| bits as f64 / items as f64;
    case(
        "size",
        "bits an item",
        size(ours.bits()),
        size(peer.num_bits() as u64),
    );
    Ok(())
}
