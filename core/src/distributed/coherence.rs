//! Which copies of shared values may be kept and served.
//!
//! Every read and write of a key is a [`Flight`] from before it is sent until after its answer.
//! A copy is kept only if nothing else of the key happened in between: no message that it changed,
//! no write of this server, no loss of the connection. Whoever overlaps gives up its copy, which
//! costs one more read and never a wrong value.
//!
//! Keys under way are told apart by a hash of 64 bits: two that share one count as one, which
//! can cost a copy and nothing else.

use core::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::time::Timestamp;

/// Barriers of tags that are remembered, count; beyond it all are forgotten and asked for again.
const BARRIERS_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy, Default)]
struct Open {
    flights: u32,
    writers: u32,
    dirty: bool,
}

/// A read or write on its way.
#[must_use = "a flight must land"]
#[derive(Debug)]
pub struct Flight {
    hash: u64,
    era: u64,
    writes: bool,
}

/// How far a server may trust its copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// As new as a message's way.
    Fresh,
    /// Messages may be missing, for no longer than the bound.
    Bounded,
    /// Older than the bound: not to be served.
    None,
}

/// The state of one server's copies.
#[derive(Debug, Default)]
pub struct Coherence {
    /// By the hash of the key.
    open: HashMap<u64, Open>,
    hasher: FixedState,
    barriers: HashMap<Box<str>, u64>,
    /// Goes up with everything that concerns more than one key.
    era: u64,
}

impl Coherence {
    /// A read or a write of `key` is about to be sent.
    pub fn begin(&mut self, key: &str, writes: bool) -> Flight {
        let hash = self.hasher.hash_one(key);
        let open = self.open.entry(hash).or_default();
        open.dirty |= open.writers > 0 || (writes && open.flights > 0);
        open.flights += 1;
        open.writers += u32::from(writes);
        Flight {
            hash,
            era: self.era,
            writes,
        }
    }

    /// Its answer came, or will never come; whether a copy of what it read or wrote may be kept.
    pub fn land(&mut self, flight: &Flight) -> bool {
        let Some(open) = self.open.get_mut(&flight.hash) else {
            return false;
        };
        let clean = !open.dirty && flight.era == self.era;
        open.flights -= 1;
        open.writers -= u32::from(flight.writes);
        if open.flights == 0 {
            self.open.remove(&flight.hash);
        }
        clean
    }

    /// The store says that `key` changed. The caller drops its copy.
    pub fn changed(&mut self, key: &str) {
        let hash = self.hasher.hash_one(key);
        if let Some(open) = self.open.get_mut(&hash) {
            open.dirty = true;
        }
    }

    /// The store says that the barrier of `tag` changed. The caller drops the copies with it.
    pub fn tag_changed(&mut self, tag: &str) {
        self.era += 1;
        self.barriers.remove(tag);
    }

    /// Everything may have changed: the connection was lost, or all was cleared. The caller drops
    /// every copy.
    pub fn all_changed(&mut self) {
        self.era += 1;
        self.barriers.clear();
    }

    /// A number to give to [`Self::learn`]: what is learnt across a change is not kept.
    #[must_use]
    pub fn era(&self) -> u64 {
        self.era
    }

    /// The barrier of a tag, if it is known.
    #[must_use]
    pub fn barrier(&self, tag: &str) -> Option<u64> {
        self.barriers.get(tag).copied()
    }

    /// The store gave the barrier of a tag, asked for in era `era`.
    pub fn learn(&mut self, tag: &str, barrier: u64, era: u64) {
        if era != self.era {
            return;
        }
        if self.barriers.len() >= BARRIERS_MAX {
            self.barriers.clear();
        }
        self.barriers.insert(tag.into(), barrier);
    }

    /// Reads and writes on their way, count of keys.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.open.len()
    }
}

impl Trust {
    /// The trust at `now` in copies that were complete at `synced`: for `lease_ms` they are taken
    /// as they are, up to `stale_ms` when the store cannot be asked.
    #[must_use]
    pub fn at(now: Timestamp, synced: Timestamp, lease_ms: u64, stale_ms: u64) -> Self {
        match now.ms_since(synced) {
            age if age <= lease_ms => Self::Fresh,
            age if age <= stale_ms => Self::Bounded,
            _ => Self::None,
        }
    }
}
