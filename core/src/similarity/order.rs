//! Puts pairs in their final order: best first, then by (a, b).
//!
//! Pairs arrive in chunks, each ascending by (a, b). Each chunk is parted into buckets by the first
//! bits of a key while it is still in the cache; then each bucket is put together from all chunks
//! and radix-sorted, again in the cache. Every step is stable and O(pairs); beside the result there
//! is one more copy of the pairs (24 bytes each).

use core::{cmp::Ordering, ops::Range};
use std::sync::{Mutex, PoisonError};

use super::{
    Pair,
    filled::{Part, filled},
    slab::{Slab, Slabs},
    spare::Spare,
};
use crate::par::Par;

/// First bits of the key: buckets.
const BUCKET_BITS: u32 = 8;
const BUCKETS: usize = 1 << BUCKET_BITS;
/// Bits of one radix pass, of two: counters of 8 KiB.
const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;
const KEY_BITS: u32 = BUCKET_BITS + 2 * DIGIT_BITS;
/// Below this many a comparison sort is faster.
const RADIX_MIN: usize = 128;
/// Parts of the final order that threads share out, about.
const GROUPS: usize = 32;

/// A place to be filled.
pub(super) const NONE: Pair = Pair {
    a: 0,
    b: 0,
    similarity: 0.0,
    common: 0,
};

/// Which of two pairs comes first. Total: no two different pairs are equal.
pub(super) fn compare(ascending: bool, p: &Pair, q: &Pair) -> Ordering {
    let by_value = if ascending {
        p.similarity.total_cmp(&q.similarity)
    } else {
        q.similarity.total_cmp(&p.similarity)
    };
    by_value.then(p.a.cmp(&q.a)).then(p.b.cmp(&q.b))
}

/// Orders like the values, coarsely: where keys are equal the values may differ. Similarities
/// 1..=-1 go to 0..2^30, distances by way of their similarity 1..=0.
#[inline(always)]
fn key(ascending: bool, value: f64) -> u32 {
    const UNIT: f64 = (1u32 << (KEY_BITS - 1)) as f64;
    let similarity = if ascending {
        1.0 / (1.0 + value)
    } else {
        value
    };
    (((1.0 - similarity) * UNIT) as u32).min((1 << KEY_BITS) - 1)
}

/// The pairs of one chunk by bucket, within a bucket as they came.
pub(super) struct Parted {
    slab: usize,
    /// Where each bucket starts in the slab; at last where the last one ends.
    starts: Vec<usize>,
}

impl Parted {
    pub(super) fn new(pairs: &[Pair], ascending: bool, slab: &mut Slab, slabs: &Slabs) -> Self {
        let bucket = |p: &Pair| (key(ascending, p.similarity) >> (2 * DIGIT_BITS)) as usize;
        let mut starts = vec![0; BUCKETS + 1];
        for pair in pairs {
            starts[bucket(pair) + 1] += 1;
        }
        for k in 1..starts.len() {
            starts[k] += starts[k - 1];
        }
        let mut next = starts.clone();
        let (slab, first, places) = slab.room(pairs.len(), slabs);
        for pair in pairs {
            let place = &mut next[bucket(pair)];
            places[*place] = *pair;
            *place += 1;
        }
        for start in &mut starts {
            *start += first;
        }
        Self { slab, starts }
    }

    fn len(&self, buckets: &Range<usize>) -> usize {
        self.starts[buckets.end] - self.starts[buckets.start]
    }
}

/// All pairs of the chunks, which follow each other by (a, b), in order.
pub(super) fn merge(parts: &[Parted], slabs: Slabs, ascending: bool, par: Par) -> Vec<Pair> {
    let slabs = slabs.into_inner();
    let groups = groups(parts, if par.threads() > 1 { GROUPS } else { 1 });
    let len = |buckets| parts.iter().map(|part| part.len(buckets)).sum();
    let lens: Vec<_> = groups.iter().map(len).collect();
    let spare = Spare::<Sorter>::new();
    let merged = filled(&lens, par, |group, places| {
        let mut sorter = spare.take();
        for bucket in groups[group].clone() {
            let parts = parts.iter().map(|part| {
                let (start, end) = (part.starts[bucket], part.starts[bucket + 1]);
                &slabs[part.slab][start..end]
            });
            sorter.sort(parts, ascending, places);
        }
        spare.give(sorter);
    });
    // Giving so much memory back takes time, too.
    let slabs: Vec<_> = slabs
        .into_iter()
        .map(|slab| Mutex::new(Some(slab)))
        .collect();
    let Ok(_) = par.try_map(slabs.len(), |slab| {
        *slabs[slab].lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok::<_, core::convert::Infallible>(())
    });
    merged
}

/// Ranges of buckets with about equally many pairs.
fn groups(parts: &[Parted], groups: usize) -> Vec<Range<usize>> {
    let total: usize = parts.iter().map(|part| part.len(&(0..BUCKETS))).sum();
    let mut ranges = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for bucket in 0..BUCKETS {
        sum += parts
            .iter()
            .map(|part| part.len(&(bucket..bucket + 1)))
            .sum::<usize>();
        if sum > total / groups || bucket + 1 == BUCKETS {
            ranges.push(start..bucket + 1);
            (start, sum) = (bucket + 1, 0);
        }
    }
    ranges
}

/// Sorts buckets; its memory is used again from one to the next.
#[derive(Default)]
struct Sorter {
    keyed: Vec<(u32, u32)>,
    other: Vec<(u32, u32)>,
    pairs: Vec<Pair>,
}

impl Sorter {
    /// Puts the pairs of a bucket, which come ascending by (a, b), in order into the next places.
    fn sort<'a>(
        &mut self,
        parts: impl Iterator<Item = &'a [Pair]>,
        ascending: bool,
        places: &mut Part<'_, Pair>,
    ) {
        let Self {
            keyed,
            other,
            pairs,
        } = self;
        pairs.clear();
        for part in parts {
            pairs.extend_from_slice(part);
        }
        keyed.clear();
        let keys = (0u32..).zip(&*pairs);
        keyed.extend(keys.map(|(i, p)| (key(ascending, p.similarity), i)));
        if pairs.len() < RADIX_MIN {
            sort_by_pairs(keyed, pairs, ascending);
            return places.extend(keyed.iter().map(|&(_, i)| pairs[i as usize]));
        }
        other.resize(pairs.len(), (0, 0));
        for shift in [0, DIGIT_BITS] {
            if scatter(keyed, &mut other[..pairs.len()], shift) {
                core::mem::swap(keyed, other);
                other.resize(pairs.len(), (0, 0));
                keyed.truncate(pairs.len());
            }
        }
        let mut start = 0;
        while let Some(&(first, _)) = keyed.get(start) {
            let mut end = start + 1;
            while keyed.get(end).is_some_and(|&(key, _)| key == first) {
                end += 1;
            }
            if end - start > 1 {
                sort_run(&mut keyed[start..end], other, pairs, ascending);
            }
            start = end;
        }
        places.extend(keyed.iter().map(|&(_, i)| pairs[i as usize]));
    }
}

/// Sorts entries by their pairs. In one place, for what it takes in wasm.
#[inline(never)]
fn sort_by_pairs(entries: &mut [(u32, u32)], pairs: &[Pair], ascending: bool) {
    let pair = |entry: &(u32, u32)| &pairs[entry.1 as usize];
    entries.sort_by(|p, q| compare(ascending, pair(p), pair(q)));
}

/// Values that a run may have to be sorted by counting.
const VALUES_MAX: usize = 8;

/// Sorts entries of equal keys, which are ascending by (a, b). Their values are all equal or very
/// few, as a rule (what rounding leaves of 1), so this is linear then.
fn sort_run(run: &mut [(u32, u32)], other: &mut [(u32, u32)], pairs: &[Pair], ascending: bool) {
    let value = |entry: &(u32, u32)| pairs[entry.1 as usize].similarity;
    let bits = |entry: &(u32, u32)| value(entry).to_bits();
    let first = run.first().map_or(0, bits);
    if run.iter().all(|entry| bits(entry) == first) {
        return;
    }
    // Each value with the count of its entries.
    let mut values = [(0.0f64, 0); VALUES_MAX];
    let mut len = 0;
    for entry in &*run {
        let known = &mut values[..len];
        if let Some(known) = known.iter_mut().find(|v| v.0.to_bits() == bits(entry)) {
            known.1 += 1;
        } else if len < VALUES_MAX {
            values[len] = (value(entry), 1);
            len += 1;
        } else {
            return sort_by_pairs(run, pairs, ascending);
        }
    }
    let values = &mut values[..len];
    values.sort_by(|(p, _), (q, _)| {
        let order = q.total_cmp(p);
        if ascending { order.reverse() } else { order }
    });
    let mut start = 0;
    for (_, count) in &mut *values {
        start += core::mem::replace(count, start);
    }
    let other = &mut other[..run.len()];
    for entry in &*run {
        let place = values.iter_mut().find(|v| v.0.to_bits() == bits(entry));
        if let Some((_, place)) = place {
            other[*place] = *entry;
            *place += 1;
        }
    }
    run.copy_from_slice(other);
}

/// One stable pass by one digit; false if all have the same digit and nothing was moved.
fn scatter(from: &[(u32, u32)], to: &mut [(u32, u32)], shift: u32) -> bool {
    let digit = |key: u32| (key >> shift) as usize % DIGITS;
    let mut next = [0u32; DIGITS];
    for &(key, _) in from {
        next[digit(key)] += 1;
    }
    let mut sum = 0;
    for n in &mut next {
        if *n as usize == from.len() {
            return false;
        }
        sum += core::mem::replace(n, sum);
    }
    for &entry in from {
        let slot = &mut next[digit(entry.0)];
        to[*slot as usize] = entry;
        *slot += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_equals_a_comparison_sort() {
        let mut rng = crate::rng::Rng::new(7);
        for (ascending, chunk) in [(false, 10_000), (true, 333), (false, 100), (true, 1)] {
            let mut pairs = Vec::new();
            for a in 0..60u32 {
                for b in a + 1..60 {
                    let value = match rng.below(4) {
                        0 => rng.below(5) as f64 / 4.0,
                        1 => 0.5 + rng.unit_f64() * 1e-12,
                        2 if a % 2 == 0 => 1.0 - rng.below(3) as f64 * f64::EPSILON,
                        2 => -rng.unit_f64(),
                        _ => rng.unit_f64(),
                    };
                    let similarity = if ascending { value.abs() * 9e9 } else { value };
                    pairs.push(Pair {
                        a,
                        b,
                        similarity,
                        common: 1,
                    });
                }
            }
            let merged = |par| {
                // Of two threads in turn.
                let (mut of_threads, slabs) = (<[Slab; 2]>::default(), Slabs::default());
                let parts: Vec<Parted> = (pairs.chunks(chunk).enumerate())
                    .map(|(i, chunk)| Parted::new(chunk, ascending, &mut of_threads[i % 2], &slabs))
                    .collect();
                for slab in of_threads {
                    slabs.keep(slab);
                }
                merge(&parts, slabs, ascending, par)
            };
            let mut expected = pairs.clone();
            expected.sort_by(|p, q| compare(ascending, p, q));
            #[cfg(feature = "rayon")]
            assert_eq!(merged(Par::Rayon), expected);
            assert_eq!(merged(Par::Seq), expected);
        }
        assert!(merge(&[], Slabs::default(), false, Par::Seq).is_empty());
    }
}
