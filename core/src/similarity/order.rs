//! Puts pairs in their final order: best first, then by (a, b).
//!
//! Pairs arrive in chunks, each ascending by (a, b). Each chunk is parted into buckets by the first
//! bits of a key while it is still in the cache; then each bucket is put together from all chunks
//! and radix-sorted, again in the cache. Every step is stable and O(pairs); beside the result there
//! is one more copy of the pairs (24 bytes each).

use core::{cmp::Ordering, ops::Range};

use super::Pair;
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
    pairs: Vec<Pair>,
    starts: Vec<u32>,
}

impl Parted {
    pub(super) fn new(pairs: &[Pair], ascending: bool) -> Self {
        let bucket = |p: &Pair| (key(ascending, p.similarity) >> (2 * DIGIT_BITS)) as usize;
        let mut starts = vec![0u32; BUCKETS + 1];
        for pair in pairs {
            starts[bucket(pair) + 1] += 1;
        }
        for k in 1..starts.len() {
            starts[k] += starts[k - 1];
        }
        let mut next = starts.clone();
        let mut parted = vec![NONE; pairs.len()];
        for pair in pairs {
            let slot = &mut next[bucket(pair)];
            parted[*slot as usize] = *pair;
            *slot += 1;
        }
        Self {
            pairs: parted,
            starts,
        }
    }

    fn bucket(&self, bucket: usize) -> &[Pair] {
        &self.pairs[self.starts[bucket] as usize..self.starts[bucket + 1] as usize]
    }
}

/// All pairs of the chunks, which follow each other by (a, b), in order.
pub(super) fn merge(parts: &[Parted], ascending: bool, par: Par) -> Vec<Pair> {
    let groups = groups(parts, if par.threads() > 1 { GROUPS } else { 1 });
    let merged = par.try_map(groups.len(), |group| {
        Ok::<_, core::convert::Infallible>(merge_buckets(parts, groups[group].clone(), ascending))
    });
    let Ok(mut merged) = merged;
    if merged.len() == 1 {
        return merged.pop().unwrap_or_default();
    }
    merged.concat()
}

/// Ranges of buckets with about equally many pairs.
fn groups(parts: &[Parted], groups: usize) -> Vec<Range<usize>> {
    let total: usize = parts.iter().map(|part| part.pairs.len()).sum();
    let mut ranges = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for bucket in 0..BUCKETS {
        sum += parts
            .iter()
            .map(|part| part.bucket(bucket).len())
            .sum::<usize>();
        if sum > total / groups || bucket + 1 == BUCKETS {
            ranges.push(start..bucket + 1);
            (start, sum) = (bucket + 1, 0);
        }
    }
    ranges
}

fn merge_buckets(parts: &[Parted], buckets: Range<usize>, ascending: bool) -> Vec<Pair> {
    let len = |p: &Parted| (p.starts[buckets.end] - p.starts[buckets.start]) as usize;
    let mut merged = Vec::with_capacity(parts.iter().map(len).sum());
    let mut sorter = Sorter::default();
    for bucket in buckets {
        let start = merged.len();
        for part in parts {
            merged.extend_from_slice(part.bucket(bucket));
        }
        sorter.sort(&mut merged[start..], ascending);
    }
    merged
}

/// Sorts buckets; its memory is used again from one to the next.
#[derive(Default)]
struct Sorter {
    keyed: Vec<(u32, u32)>,
    other: Vec<(u32, u32)>,
    copy: Vec<Pair>,
}

impl Sorter {
    /// Sorts pairs of one bucket that are ascending by (a, b).
    fn sort(&mut self, pairs: &mut [Pair], ascending: bool) {
        if pairs.len() < RADIX_MIN {
            pairs.sort_by(|p, q| compare(ascending, p, q));
            return;
        }
        self.keyed.clear();
        let keyed = (0u32..).zip(&*pairs);
        self.keyed
            .extend(keyed.map(|(i, p)| (key(ascending, p.similarity), i)));
        self.other.resize(pairs.len(), (0, 0));
        let mut moved = false;
        for shift in [0, DIGIT_BITS] {
            if scatter(&self.keyed, &mut self.other[..pairs.len()], shift) {
                moved = true;
                core::mem::swap(&mut self.keyed, &mut self.other);
                self.other.resize(pairs.len(), (0, 0));
                self.keyed.truncate(pairs.len());
            }
        }
        if moved {
            self.copy.clear();
            self.copy.extend_from_slice(pairs);
            for (pair, &(_, i)) in pairs.iter_mut().zip(&self.keyed) {
                *pair = self.copy[i as usize];
            }
        }
        let mut start = 0;
        while let Some(&(first, _)) = self.keyed.get(start) {
            let mut end = start + 1;
            while self.keyed.get(end).is_some_and(|&(key, _)| key == first) {
                end += 1;
            }
            if end - start > 1 {
                // Stable, and linear where all values are equal, as they mostly are.
                pairs[start..end].sort_by(|p, q| compare(ascending, p, q));
            }
            start = end;
        }
    }
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
            let parts: Vec<Parted> = pairs
                .chunks(chunk)
                .map(|chunk| Parted::new(chunk, ascending))
                .collect();
            pairs.sort_by(|p, q| compare(ascending, p, q));
            assert_eq!(merge(&parts, ascending, Par::Seq), pairs);
            #[cfg(feature = "rayon")]
            assert_eq!(merge(&parts, ascending, Par::Rayon), pairs);
        }
        assert!(merge(&[], false, Par::Seq).is_empty());
    }
}
