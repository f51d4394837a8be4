//! Keys that were given up lately, without their values: what comes back soon was given up too
//! early. 4 bytes a key: 16 bits of its hash and 16 bits of the time of its last access.
//!
//! A key can be in one bucket only, of 16 places in one cache line, where the newest pushes the
//! oldest out. Over many buckets that comes near to one queue. Another key is taken for one that
//! is here in at most 16 of 65,535 cases.

use crate::simd::prefetch;

const WAYS: usize = 16;
/// Times are rounded down to this share of the cache's size at least.
const GRAINS: usize = 64;

/// Newest first; 0 is empty.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Bucket([u32; WAYS]);

/// See the module's text. Every operation is O(1).
#[derive(Debug, Clone, Default)]
pub(super) struct Ghost {
    buckets: Vec<Bucket>,
    /// Places of each bucket that are in use.
    ways: usize,
    /// Bits by which times are rounded.
    shift: u32,
}

impl Ghost {
    /// For a cache of this many entries that remembers `most` keys; forgets all when its table is
    /// too small for that.
    pub(super) fn resize(&mut self, entries: usize, most: usize) {
        if most > self.room() {
            let count = (2 * entries).max(most).div_ceil(WAYS);
            self.buckets = vec![Bucket([0; WAYS]); count];
            self.shift = (entries / GRAINS).max(1).ilog2();
        }
        self.limit(most);
    }

    /// Remembers `most` keys from now on, at most what the table has room for.
    pub(super) fn limit(&mut self, most: usize) {
        if !self.buckets.is_empty() {
            self.ways = most.div_ceil(self.buckets.len()).clamp(1, WAYS);
        }
    }

    /// Keys that the table has places for; it is made by [`Self::resize`].
    pub(super) fn room(&self) -> usize {
        self.buckets.len() * WAYS
    }

    /// Remembers a key, last asked for at `last`.
    pub(super) fn insert(&mut self, hash: u64, last: u32) {
        let (at, print) = self.place(hash);
        let time = last >> self.shift & 0xffff;
        if let Some(Bucket(keys)) = self.buckets.get_mut(at) {
            // Of a length known here: loads and stores, not a call.
            let old = *keys;
            keys[1..].copy_from_slice(&old[..WAYS - 1]);
            keys[0] = print | time;
            for (way, key) in keys.iter_mut().enumerate() {
                *key = if way < self.ways { *key } else { 0 };
            }
        }
    }

    /// Forgets a key; none when it was not here, else when it was last asked for as
    /// [`Self::rounded`] has it.
    pub(super) fn take(&mut self, hash: u64) -> Option<u16> {
        let (at, print) = self.place(hash);
        let Bucket(keys) = self.buckets.get_mut(at)?;
        // All at once: mostly the key is not here, and then all must be looked at.
        let found = keys.iter().enumerate().fold(0u32, |found, (way, key)| {
            found | u32::from(key & 0xffff_0000 == print) << way
        });
        if found == 0 {
            return None;
        }
        let way = found.trailing_zeros() as usize;
        let time = keys[way] as u16;
        let old = *keys;
        for (at, key) in keys[..WAYS - 1].iter_mut().enumerate() {
            *key = if at < way { old[at] } else { old[at + 1] };
        }
        keys[WAYS - 1] = 0;
        Some(time)
    }

    /// Asks for the memory that [`Self::take`] of this key will need.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(&self.buckets, self.place(hash).0);
    }

    /// A time as it is remembered here.
    pub(super) fn rounded(&self, time: u32) -> u16 {
        (time >> self.shift) as u16
    }

    pub(super) fn clear(&mut self) {
        self.buckets.fill(Bucket([0; WAYS]));
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    /// The bucket of a hash and its fingerprint, never 0 and in the upper half.
    fn place(&self, hash: u64) -> (usize, u32) {
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let at = ((mixed >> 32) * self.buckets.len() as u64) >> 32;
        let print = (mixed >> 16 & 0xffff).max(1);
        (at as usize, (print as u32) << 16)
    }
}
