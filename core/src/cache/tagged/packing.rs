//! Values that nobody asked for lately are packed, and unpacked when somebody does.
//!
//! A [`TaggedCache`] of [`Kept`] values marks each value that is read. [`TaggedCache::sweep`] goes
//! over the entries a few at a time: it takes the marks away, and gives those out that had none
//! since it last came by. [`Packer`] packs them against a [`Dictionary`] of what they share,
//! trained on the first of them, and [`TaggedCache::store_packed`] puts them back, unless their
//! entry has changed meanwhile. So nothing is packed while the cache is borrowed (in a server:
//! while its lock is held), and a value that is in use stays as it is.
//!
//! An entry weighs what it occupies: a packed one less, so that more fit the limit in bytes. A
//! value that is read again weighs as before, for which others may have to go.
//!
//! ```
//! use sommos_core::cache::{CacheConfig, CachePolicy, Kept, Packer, SetOptions, TaggedCache};
//! use sommos_core::time::Timestamp;
//! use std::sync::Arc;
//!
//! let policy = CachePolicy::Lru;
//! let mut cache: TaggedCache<Kept<Arc<[u8]>>, _> =
//!     TaggedCache::with_policy(CacheConfig::default(), policy)?;
//! let wine = |i: u32| -> Arc<[u8]> {
//!     let wine = format!("{{\"id\":{i},\"country\":\"Portugal\",\"grapes\":[\"Baga\"]}}");
//!     wine.repeat(9).into_bytes().into()
//! };
//! for i in 0..1000 {
//!     let (key, value) = (i.to_string().into(), wine(i));
//!     let weight = value.len() as u64;
//!     cache.set(Timestamp(0), key, value.into(), weight, &SetOptions::default())?;
//! }
//! let before = cache.stats().memory_usage;
//! let mut packer = Packer::default();
//! // Values are new, then unused, then samples for the dictionary, then packed.
//! for _ in 0..4 {
//!     let swept = cache.sweep(Timestamp(0), 0, usize::MAX);
//!     for packed in packer.pack(swept.cold) {
//!         cache.store_packed(packed);
//!     }
//!     packer.end_round();
//! }
//! let after = cache.stats().memory_usage;
//! assert!(after * 2 < before, "{after} of {before}");
//! assert_eq!(cache.read(Timestamp(0), "7"), Some(wine(7)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod packer;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::TaggedCache;
use crate::{
    cache::{Freshness, Policy, Removal, SetOutcome},
    compress::Dictionary,
    time::Timestamp,
};

pub use packer::Packer;

/// What an entry of [`Kept`] is charged beside its value, bytes: the mark. A packed value takes the
/// place of one of 32 bytes, as `bytes::Bytes` is, and its own bytes elsewhere.
pub const PACKING_WORD_BYTES: u64 = 8;
/// Values shorter than this stay as they are: what is saved would be less than what packing costs.
const VALUE_BYTES_MIN: usize = 128;

/// A value of bytes as the cache keeps it. A clone of `V` must share its bytes, as one of
/// `Arc<[u8]>` or `bytes::Bytes` does: where it copies them, nothing is ever packed.
#[derive(Debug, Clone)]
pub struct Kept<V>(State<V>);

#[derive(Debug, Clone)]
enum State<V> {
    Plain { value: V, used: bool },
    Packed(Packed),
}

#[derive(Debug, Clone)]
struct Packed {
    dictionary: Arc<Dictionary>,
    block: Box<[u8]>,
    /// Bytes when unpacked.
    len: u32,
    /// By how much the entry's charge was lowered, bytes.
    saved: u32,
}

impl Packed {
    fn unpack<V: From<Vec<u8>>>(&self) -> Option<V> {
        let plain = self.dictionary.unpack(&self.block, self.len as usize);
        plain.ok().map(V::from)
    }
}

impl<V> From<V> for Kept<V> {
    fn from(value: V) -> Self {
        Self(State::Plain { value, used: true })
    }
}

/// A value that nobody asked for during a round.
#[derive(Debug, Clone)]
pub struct Cold<V> {
    slot: u32,
    value: V,
}

/// A cold value and what it was packed into.
#[derive(Debug)]
pub struct ColdPacked<V> {
    cold: Cold<V>,
    dictionary: Arc<Dictionary>,
    block: Box<[u8]>,
}

/// What a sweep met.
#[derive(Debug, Clone)]
pub struct Swept<V> {
    /// Values to pack.
    pub cold: Vec<Cold<V>>,
    /// Entries that it looked at.
    pub met: usize,
    /// Where to go on; 0 when all entries have been met.
    pub next: usize,
    /// Entries that are packed.
    pub packed: u64,
    /// Bytes that these do not occupy.
    pub saved_bytes: u64,
}

impl<V, P> TaggedCache<Kept<V>, P>
where
    V: AsRef<[u8]> + From<Vec<u8>> + Clone,
    P: Policy,
{
    /// As [`TaggedCache::get`], with the value as it was set.
    #[inline]
    pub fn read(&mut self, now: Timestamp, key: &str) -> Option<V> {
        let found = self.cache.hit(now, key, |entry| entry.is_fresh(now));
        self.restore(now, found.ok()?)
    }

    /// As [`TaggedCache::get_stale`], with the value as it was set.
    pub fn read_stale(&mut self, now: Timestamp, key: &str) -> Option<(V, Freshness)> {
        let found = self.cache.hit(now, key, |entry| entry.is_fresh(now));
        let (slot, freshness) = match found {
            Ok(slot) => (slot, Freshness::Fresh),
            Err(stale) => (stale?, Freshness::Stale),
        };
        Some((self.restore(now, slot)?, freshness))
    }

    /// As [`TaggedCache::peek`], with the value as it was set; it counts as unused.
    pub fn peek_value(&self, now: Timestamp, key: &str) -> Option<(V, Freshness)> {
        let (kept, freshness) = self.peek(now, key)?;
        let value = match &kept.0 {
            State::Plain { value, .. } => value.clone(),
            State::Packed(packed) => packed.unpack()?,
        };
        Some((value, freshness))
    }

    /// Looks at up to `count` entries from position `from` on: 0, or the `next` of the last sweep.
    /// What the cache does in between moves some entries, so that a round may meet an entry twice
    /// or not at all. O(count).
    pub fn sweep(&mut self, now: Timestamp, from: usize, count: usize) -> Swept<V> {
        let all = self.cache.nodes.len();
        let (from, to) = (from.min(all), from.saturating_add(count).min(all));
        let mut swept = Swept {
            cold: Vec::new(),
            met: to - from,
            next: if to == all { 0 } else { to },
            packed: 0,
            saved_bytes: 0,
        };
        for (node, slot) in self.cache.nodes[from..to].iter_mut().zip(from as u32..) {
            if node.is_expired(now) {
                continue;
            }
            match &mut node.value.value.0 {
                State::Packed(packed) => {
                    swept.packed += 1;
                    swept.saved_bytes += u64::from(packed.saved);
                }
                State::Plain { value, used } => {
                    if !core::mem::take(used) && value.as_ref().len() >= VALUE_BYTES_MIN {
                        let value = value.clone();
                        swept.cold.push(Cold { slot, value });
                    }
                }
            }
        }
        swept
    }

    /// Puts a packed value in the place of the plain one, if that is still there and unused. O(1).
    pub fn store_packed(&mut self, packed: ColdPacked<V>) -> bool {
        let ColdPacked {
            cold,
            dictionary,
            block,
        } = packed;
        let Some(node) = self.cache.nodes.get_mut(cold.slot as usize) else {
            return false;
        };
        let Ok(len) = u32::try_from(cold.value.as_ref().len()) else {
            return false;
        };
        match &node.value.value.0 {
            // The cold one shares the bytes, so that no other value can lie where they do.
            State::Plain { value, used: false } if same(value, &cold.value) => {}
            _ => return false,
        }
        // Shorter by a quarter at least, and the charge counts the value.
        let saved = (len as usize).saturating_sub(block.len()) as u64;
        let saved = saved.min(node.charge) as u32;
        node.charge -= u64::from(saved);
        node.value.value = Kept(State::Packed(Packed {
            dictionary,
            block,
            len,
            saved,
        }));
        let charge = node.charge;
        self.cache.weight_bytes -= u64::from(saved);
        self.cache.policy.reweigh(cold.slot, charge);
        true
    }

    /// The value of a slot that is asked for, from now on plain.
    #[inline]
    fn restore(&mut self, now: Timestamp, slot: u32) -> Option<V> {
        let kept = &mut self.cache.nodes[slot as usize].value.value;
        if let State::Plain { value, used } = &mut kept.0 {
            *used = true;
            return Some(value.clone());
        }
        self.unpack(now, slot)
    }

    #[cold]
    fn unpack(&mut self, now: Timestamp, slot: u32) -> Option<V> {
        let node = &mut self.cache.nodes[slot as usize];
        let State::Packed(packed) = &node.value.value.0 else {
            return None;
        };
        let saved = u64::from(packed.saved);
        let Some(value) = packed.unpack::<V>() else {
            // Not with memory that works: but a value that cannot be read is none.
            self.cache.discard(slot, Removal::Evicted);
            return None;
        };
        node.value.value = value.clone().into();
        let slot = self
            .cache
            .make_room(now, saved, slot, &mut SetOutcome::default());
        let node = &mut self.cache.nodes[slot as usize];
        node.charge += saved;
        let charge = node.charge;
        self.cache.weight_bytes += saved;
        self.cache.policy.reweigh(slot, charge);
        Some(value)
    }
}

/// Whether both are the same bytes in the same place.
fn same<V: AsRef<[u8]>>(a: &V, b: &V) -> bool {
    core::ptr::eq(a.as_ref(), b.as_ref())
}
