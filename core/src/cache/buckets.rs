//! From a key's hash to its slot, mostly in one cache line: twelve places with a byte of each hash
//! and the slot numbers lie side by side in 64 bytes.
//!
//! A key whose bucket is full lives in the next one with room. Each bucket counts the keys that
//! have passed it so, which ends a search at the first bucket that none has passed (as F14 does:
//! Bronson, Shi, "Open-sourcing F14 for faster, more memory-efficient hash tables", Meta, 2019).
//! Removal leaves no marks behind, so churn does not wear the table out.

use super::{
    hardware::{BYTES as PLACES, Matches},
    index::Places,
};
use crate::simd;

/// Entries for each bucket at most: then one key in thirty lives outside its own bucket.
const LOAD: usize = 9;
/// The tag of a free place.
const FREE: u8 = 0;

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    /// A byte of each key's hash, or [`FREE`].
    tags: [u8; PLACES],
    /// Keys that belong here or further up and live further down.
    passed: u32,
    slots: [u32; PLACES],
}

const EMPTY: Bucket = Bucket {
    tags: [FREE; PLACES],
    passed: 0,
    slots: [0; PLACES],
};

impl Bucket {
    /// The places with this tag, as a set.
    #[inline]
    fn matching(&self, tag: u8) -> Matches {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = self.tags;
        let low = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        // With the count as its upper half this is one load of 16 bytes.
        let high = u64::from(u32::from_le_bytes([i, j, k, l])) | u64::from(self.passed) << 32;
        Matches::new(low, high, tag)
    }

    /// The place of a slot that has this tag, if it is in this bucket.
    fn place_of(&self, tag: u8, slot: u32) -> Option<usize> {
        self.matching(tag).find(|&place| self.slots[place] == slot)
    }
}

/// For any keys: see the module's text. Every operation is O(1) expected. 7.1 to 14.2 bytes an
/// entry once there are many.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// A power of two of them, or none.
    buckets: Vec<Bucket>,
    len: usize,
}

impl Index {
    /// The bucket in which a search begins, and the tag.
    #[inline]
    fn home(&self, hash: u64) -> (usize, u8) {
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let at = (mixed >> 32) as usize & self.buckets.len().wrapping_sub(1);
        (at, ((mixed >> 24) as u8).max(1))
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        if at + 1 < self.buckets.len() {
            at + 1
        } else {
            0
        }
    }

    /// Bucket and place of a slot that is there.
    #[inline]
    fn locate(&self, hash: u64, slot: u32) -> Option<(usize, usize)> {
        let (mut at, tag) = self.home(hash);
        for _ in 0..self.buckets.len() {
            let bucket = &self.buckets[at];
            if let Some(place) = bucket.place_of(tag, slot) {
                return Some((at, place));
            }
            if bucket.passed == 0 {
                break;
            }
            at = self.next(at);
        }
        None
    }

    /// Into the first free place; there is one.
    #[inline]
    fn place(&mut self, hash: u64, slot: u32) {
        let (mut at, tag) = self.home(hash);
        for _ in 0..self.buckets.len() {
            let bucket = &mut self.buckets[at];
            if let Some(place) = bucket.matching(FREE).next() {
                bucket.tags[place] = tag;
                bucket.slots[place] = slot;
                return;
            }
            bucket.passed += 1;
            at = self.next(at);
        }
    }

    #[cold]
    fn grow(&mut self, hash_of: impl Fn(u32) -> u64) {
        let count = self.buckets.len();
        let grown = vec![EMPTY; (2 * count).max(1)];
        let old = core::mem::replace(&mut self.buckets, grown);
        for Bucket { tags, slots, .. } in old {
            for (tag, slot) in tags.into_iter().zip(slots) {
                if tag != FREE {
                    self.place(hash_of(slot), slot);
                }
            }
        }
    }
}

impl Places for Index {
    #[inline]
    fn find(&self, hash: u64, mut is_key: impl FnMut(u32) -> bool) -> Option<u32> {
        let (mut at, tag) = self.home(hash);
        for _ in 0..self.buckets.len() {
            let bucket = &self.buckets[at];
            for place in bucket.matching(tag) {
                let slot = bucket.slots[place];
                if is_key(slot) {
                    return Some(slot);
                }
            }
            if bucket.passed == 0 {
                break;
            }
            at = self.next(at);
        }
        None
    }

    #[inline]
    fn insert(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        if self.len >= self.buckets.len() * LOAD {
            self.grow(hash_of);
        }
        self.len += 1;
        self.place(hash, slot);
    }

    #[inline]
    fn remove(&mut self, hash: u64, slot: u32) {
        let Some((found, place)) = self.locate(hash, slot) else {
            return;
        };
        self.buckets[found].tags[place] = FREE;
        self.len -= 1;
        let (mut at, _) = self.home(hash);
        while at != found {
            self.buckets[at].passed -= 1;
            at = self.next(at);
        }
    }

    #[inline]
    fn renumber(&mut self, hash: u64, from: u32, to: u32) {
        if let Some((at, place)) = self.locate(hash, from) {
            self.buckets[at].slots[place] = to;
        }
    }

    #[inline]
    fn prefetch(&self, hash: u64) {
        simd::prefetch(&self.buckets, self.home(hash).0);
    }

    fn clear(&mut self) {
        self.buckets.fill(EMPTY);
        self.len = 0;
    }

    fn allocated_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::rng::Rng;

    /// Hashes of which many share a bucket, a tag, or all bits.
    fn hashes() -> Vec<u64> {
        let mut rng = Rng::new(1);
        (0..400)
            .map(|i| match i % 4 {
                0 => rng.below(3),
                1 => rng.below(40) << 50,
                _ => rng.next_u64(),
            })
            .collect()
    }

    /// Slots numbered densely, as the cache does it: a removal gives the last one's number away.
    #[test]
    fn agrees_with_a_map_whatever_the_hashes() {
        let hashes = hashes();
        let mut rng = Rng::new(2);
        let mut index = Index::default();
        // The key of each slot, and the slot of each key.
        let (mut keys, mut slots) = (Vec::<usize>::new(), HashMap::<usize, u32>::new());
        // Miri is some thousand times slower.
        let steps = if cfg!(miri) { 1000 } else { 40_000 };
        for step in 0..steps {
            let key = rng.below(hashes.len() as u64) as usize;
            let expected = slots.get(&key).copied();
            let found = index.find(hashes[key], |slot| keys[slot as usize] == key);
            assert_eq!(found, expected, "step {step}");
            let shrink = step / (steps / 10) % 2 == 1;
            match expected {
                None if !shrink || rng.below(8) == 0 => {
                    let slot = keys.len() as u32;
                    keys.push(key);
                    slots.insert(key, slot);
                    index.insert(hashes[key], slot, |slot| hashes[keys[slot as usize]]);
                }
                Some(slot) if shrink || rng.below(8) == 0 => {
                    let last = keys.len() as u32 - 1;
                    index.remove(hashes[key], slot);
                    slots.remove(&key);
                    keys.swap_remove(slot as usize);
                    if let Some(&moved) = keys.get(slot as usize) {
                        index.renumber(hashes[moved], last, slot);
                        slots.insert(moved, slot);
                    }
                }
                _ => {}
            }
            assert_eq!(index.len, keys.len());
        }
        for (key, slot) in slots {
            index.remove(hashes[key], slot);
        }
        assert!(
            index
                .buckets
                .iter()
                .all(|b| b.passed == 0 && b.tags == [FREE; PLACES])
        );
    }

    #[test]
    fn many_entries_cost_at_most_fifteen_bytes_each() {
        let mut index = Index::default();
        let mut rng = Rng::new(3);
        let hashes: Vec<u64> = (0..100_000).map(|_| rng.next_u64()).collect();
        for (slot, &hash) in hashes.iter().enumerate() {
            index.insert(hash, slot as u32, |slot| hashes[slot as usize]);
            if slot > 1000 {
                assert!(index.allocated_bytes() < 15 * (slot + 1));
            }
        }
        let away: u32 = index.buckets.iter().map(|bucket| bucket.passed).sum();
        assert!(away < 100_000 / 25, "{away}");
    }
}
