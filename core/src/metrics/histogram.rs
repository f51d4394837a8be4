//! Log-linear histograms of durations, after HdrHistogram (<http://hdrhistogram.org>).
//!
//! Values are whole microseconds from 1 to one hour (smaller and larger ones count as the nearest
//! end). Values below 32 have a bucket each; above, every octave is cut into 32 equal buckets, so a
//! bucket is at most 1/32 of its lower end wide and its middle is within 1/64 (1.6 %) of any value
//! in it: [`ERROR_MAX`]. Two histograms merge, or subtract, bucket by bucket.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// log2 of the buckets an octave.
const PRECISION_BITS: u32 = 5;
const PER_OCTAVE: usize = 1 << PRECISION_BITS;
/// Largest value, one hour in microseconds: below 2^32.
pub(super) const VALUE_MAX: u64 = 3_600_000_000;
/// Buckets: 32 exact values and 27 octaves, from 2^5 to 2^32.
pub(super) const BUCKETS: usize = PER_OCTAVE * (33 - PRECISION_BITS as usize);
/// Stated relative error of a quantile. The scheme gives 1/64.
pub(super) const ERROR_MAX: f64 = 0.03;

const _: () = assert!(VALUE_MAX < 1 << 32 && bucket_of(VALUE_MAX) < BUCKETS);
const _: () = assert!(1.0 / (2 * PER_OCTAVE) as f64 <= ERROR_MAX);

/// The bucket of a value, clamped to the range. O(1), no branch but the small values'.
pub(super) const fn bucket_of(value: u64) -> usize {
    let value = if value > VALUE_MAX { VALUE_MAX } else { value };
    let value = if value == 0 { 1 } else { value };
    if value < PER_OCTAVE as u64 {
        return value as usize;
    }
    // The leading bit's place over the exact range, and the five bits that follow it.
    let shift = 63 - value.leading_zeros() - PRECISION_BITS;
    ((shift as usize) << PRECISION_BITS) + (value >> shift) as usize
}

/// The middle of a bucket.
pub(super) fn middle_of(bucket: usize) -> f64 {
    if bucket < 2 * PER_OCTAVE {
        return bucket as f64;
    }
    let shift = (bucket >> PRECISION_BITS) - 1;
    let low = ((bucket & (PER_OCTAVE - 1)) + PER_OCTAVE) << shift;
    low as f64 + ((1u64 << shift) - 1) as f64 / 2.0
}

/// The quantile `q` (0..=1, nearest rank) of `counts` whose sum is `total`; none of none.
pub(super) fn quantile_of(counts: impl Iterator<Item = u64>, total: u64, q: f64) -> Option<f64> {
    if total == 0 {
        return None;
    }
    let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total);
    let mut seen = 0u64;
    let mut last = None;
    for (bucket, count) in counts.enumerate().filter(|&(_, count)| count > 0) {
        seen += count;
        last = Some(middle_of(bucket));
        if seen >= rank {
            break;
        }
    }
    last
}

/// A histogram that any thread adds to without a lock. 7,168 bytes.
#[derive(Debug)]
pub struct AtomicHistogram {
    counts: [AtomicU64; BUCKETS],
}

impl Default for AtomicHistogram {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }
}

impl AtomicHistogram {
    /// Counts one value of `us` microseconds. One relaxed addition.
    pub fn record(&self, us: u64) {
        if let Some(count) = self.counts.get(bucket_of(us)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Adds the counts of a plain one.
    pub(super) fn add(&self, from: &Histogram) {
        for (count, more) in self.counts.iter().zip(from.counts.iter()) {
            count.fetch_add(*more, Relaxed);
        }
    }

    /// Adds what was counted so far to `into`. Additions that run meanwhile are in or not.
    pub fn add_to(&self, into: &mut Histogram) {
        for (sum, count) in into.counts.iter_mut().zip(&self.counts) {
            *sum += count.load(Relaxed);
        }
    }
}

/// A plain histogram: a copy, a sum or a difference of others. 7,168 bytes on the heap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    pub(super) counts: Box<[u64; BUCKETS]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: Box::new([0; BUCKETS]),
        }
    }
}

impl Histogram {
    /// Largest relative error of [`Self::quantile`]: 3 % are promised, 1.6 % are the scheme's.
    pub const ERROR_MAX: f64 = ERROR_MAX;
    /// Bytes of one, on the heap.
    pub const BYTES: usize = BUCKETS * size_of::<u64>();

    /// Counts one value of `us` microseconds.
    pub fn record(&mut self, us: u64) {
        if let Some(count) = self.counts.get_mut(bucket_of(us)) {
            *count += 1;
        }
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts.iter()) {
            *sum += count;
        }
    }

    /// Values counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The quantile `q` in 0..=1 by nearest rank, in microseconds; none when empty. O(896).
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        quantile_of(self.counts.iter().copied(), self.count(), q)
    }

    /// The low halves of the counts: differences stay right while fewer than 2^32 values fall
    /// into one bucket between the two copies.
    pub(super) fn low_halves(&self) -> Box<[u32]> {
        self.counts.iter().map(|&count| count as u32).collect()
    }
}
