//! The order of eviction: which entry goes when another needs the room.
//!
//! | policy | for | bytes an entry |
//! |---|---|--:|
//! | [`Lru`] | recency; the default | 8 |
//! | [`Adaptive`] | unknown or changing use: loops, scans, frequency, recency | [`ADAPTIVE_ENTRY_BYTES`] more |
//! | [`AnyPolicy`] | one of both, chosen at run time by [`CachePolicy`] | as the one chosen |

mod adaptive;
mod ghost;
mod lists;
mod lru;
mod shadows;
mod tiers;
mod way;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use core::fmt;

use serde::{Deserialize, Serialize};

pub use adaptive::{ADAPTIVE_ENTRY_BYTES, ADAPTIVE_FIXED_BYTES, Adaptive};
pub use lru::Lru;

/// The policies by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum CachePolicy {
    /// The least recently used entry goes.
    #[default]
    Lru,
    /// Learns from the accesses which entries pay; see [`Adaptive`].
    Adaptive,
}

impl fmt::Display for CachePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lru => "lru",
            Self::Adaptive => "adaptive",
        })
    }
}

/// Where a new entry goes: decided before room is made for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Admission {
    /// Among the entries that have proved themselves, not on probation.
    pub(super) main: bool,
}

/// What the cache tells its policy and asks of it. Entries are known by dense slot numbers, keys
/// by their hashes. The policies of this module are the only ones.
pub trait Policy: fmt::Debug + Clone + sealed::Sealed {
    /// Bytes that it needs for an entry beyond [`Lru`]'s.
    fn entry_bytes(&self) -> u64;
    /// The entry of `slot` was asked for.
    fn hit(&mut self, slot: u32, hash: u64);
    /// A key was asked for that is not there, and is likely to be admitted soon: asks for the memory
    /// that this needs.
    fn expect(&self, hash: u64);
    /// The entry of `slot` has a new value that is charged `charge` bytes.
    fn replaced(&mut self, slot: u32, hash: u64, charge: u64);
    /// The entry of `slot` is charged `charge` bytes from now on; it was not asked for.
    fn reweigh(&mut self, slot: u32, charge: u64);
    /// A key that is not there is about to be stored; `full`: others have to go for it.
    fn admit(&mut self, hash: u64, charge: u64, full: bool) -> Admission;
    /// The admitted entry has got the next slot number (the number of entries).
    fn push(&mut self, admission: Admission, charge: u64);
    /// The admitted entry has got the slot of a victim, whose key had the hash `old`.
    fn take_over(&mut self, slot: u32, old: u64, admission: Admission, charge: u64);
    /// The entry that should go next, never `keep`; none when there is no other.
    fn victim(&mut self, keep: Option<u32>) -> Option<u32>;
    /// The entries that are likely to go next, the sooner first; asks for the memory of what else
    /// it needs to let them go.
    fn upcoming(&self) -> [Option<u32>; 2];
    /// A victim is about to be removed; its key has the hash `hash`.
    fn evicted(&mut self, slot: u32, hash: u64);
    /// Takes `slot` out; the last slot number then takes its place.
    fn swap_remove(&mut self, slot: u32);
    /// The entry that would go last.
    fn first(&self) -> Option<u32>;
    /// The entry that would go next before `slot`.
    fn after(&self, slot: u32) -> Option<u32>;
    /// Takes out all and forgets what was learnt.
    fn clear(&mut self);
    /// Room for exactly `more` further slots.
    fn reserve_exact(&mut self, more: usize);
    /// Heap bytes.
    fn allocated_bytes(&self) -> usize;
}

/// A policy that its limits suffice to make.
pub trait NewPolicy: Policy {
    /// For a cache of at most so many entries and bytes.
    fn new(max_entries: usize, max_weight_bytes: u64) -> Self;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Lru {}
    impl Sealed for super::Adaptive {}
    impl Sealed for super::AnyPolicy {}
}

/// A policy chosen at run time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AnyPolicy {
    /// See [`CachePolicy::Lru`].
    Lru(Lru),
    /// See [`CachePolicy::Adaptive`].
    Adaptive(Box<Adaptive>),
}

impl AnyPolicy {
    /// The policy of this name for a cache of at most so many entries and bytes.
    pub fn new(policy: CachePolicy, max_entries: usize, max_weight_bytes: u64) -> Self {
        match policy {
            CachePolicy::Lru => Self::Lru(Lru::new(max_entries, max_weight_bytes)),
            CachePolicy::Adaptive => {
                Self::Adaptive(Box::new(Adaptive::new(max_entries, max_weight_bytes)))
            }
        }
    }
}

/// Calls the policy that it is.
macro_rules! either {
    ($any:expr, $policy:ident => $call:expr) => {
        match $any {
            AnyPolicy::Lru($policy) => $call,
            AnyPolicy::Adaptive($policy) => $call,
        }
    };
}

impl Policy for AnyPolicy {
    fn entry_bytes(&self) -> u64 {
        either!(self, p => p.entry_bytes())
    }

    #[inline]
    fn hit(&mut self, slot: u32, hash: u64) {
        either!(self, p => p.hit(slot, hash));
    }

    #[inline]
    fn expect(&self, hash: u64) {
        either!(self, p => p.expect(hash));
    }

    fn replaced(&mut self, slot: u32, hash: u64, charge: u64) {
        either!(self, p => p.replaced(slot, hash, charge));
    }

    fn reweigh(&mut self, slot: u32, charge: u64) {
        either!(self, p => p.reweigh(slot, charge));
    }

    fn admit(&mut self, hash: u64, charge: u64, full: bool) -> Admission {
        either!(self, p => p.admit(hash, charge, full))
    }

    fn push(&mut self, admission: Admission, charge: u64) {
        either!(self, p => p.push(admission, charge));
    }

    fn take_over(&mut self, slot: u32, old: u64, admission: Admission, charge: u64) {
        either!(self, p => p.take_over(slot, old, admission, charge));
    }

    fn victim(&mut self, keep: Option<u32>) -> Option<u32> {
        either!(self, p => p.victim(keep))
    }

    #[inline]
    fn upcoming(&self) -> [Option<u32>; 2] {
        either!(self, p => p.upcoming())
    }

    fn evicted(&mut self, slot: u32, hash: u64) {
        either!(self, p => p.evicted(slot, hash));
    }

    fn swap_remove(&mut self, slot: u32) {
        either!(self, p => p.swap_remove(slot));
    }

    fn first(&self) -> Option<u32> {
        either!(self, p => p.first())
    }

    fn after(&self, slot: u32) -> Option<u32> {
        either!(self, p => p.after(slot))
    }

    fn clear(&mut self) {
        either!(self, p => p.clear());
    }

    fn reserve_exact(&mut self, more: usize) {
        either!(self, p => p.reserve_exact(more));
    }

    fn allocated_bytes(&self) -> usize {
        either!(self, p => p.allocated_bytes())
    }
}
