//! Changes that wait for the store: the newest of each key, in the order in which they were made.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;

use super::entry::has_tag;
use crate::time::Timestamp;

/// Bytes that an entry of the log costs beside its key and value.
const ENTRY_BYTES: u64 = 160;

/// A change that the store does not have yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A value, as [`super::SharedEntry`] encodes it, and how long it lives.
    Set {
        /// The key.
        key: Box<str>,
        /// Its bytes in the store.
        entry: Arc<[u8]>,
        /// Fresh and stale time together, ms.
        ttl_ms: u64,
    },
    /// A key that was removed.
    Remove {
        /// The key.
        key: Box<str>,
    },
    /// A tag whose values are no longer valid.
    InvalidateTag {
        /// The tag.
        tag: Box<str>,
    },
    /// Everything was cleared.
    Clear,
}

impl Change {
    fn key(&self) -> Option<&str> {
        match self {
            Self::Set { key, .. } | Self::Remove { key } => Some(key),
            Self::InvalidateTag { .. } | Self::Clear => None,
        }
    }

    fn bytes(&self) -> u64 {
        let own = match self {
            Self::Set { key, entry, .. } => 2 * key.len() + entry.len(),
            Self::Remove { key } => 2 * key.len(),
            Self::InvalidateTag { tag } => tag.len(),
            Self::Clear => 0,
        };
        own as u64 + ENTRY_BYTES
    }
}

/// What became of the changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayStats {
    /// Waiting, count.
    pub waiting: usize,
    /// Bytes that the waiting ones occupy.
    pub bytes: u64,
    /// Sent to the store after all, count.
    pub replayed: u64,
    /// Given up because the log was full or the change too old, count.
    pub dropped: u64,
    /// Replaced by a newer change of the same key, count.
    pub superseded: u64,
}

#[derive(Debug)]
struct Waiting {
    change: Change,
    at: Timestamp,
}

/// A bounded log of changes.
#[derive(Debug)]
pub struct Replay {
    changes: BTreeMap<u64, Waiting>,
    by_key: HashMap<Box<str>, u64>,
    next: u64,
    max: usize,
    bytes_max: u64,
    stats: ReplayStats,
}

impl Replay {
    /// An empty log of at most `max` changes and `bytes_max` bytes; with 0 it drops everything.
    #[must_use]
    pub fn new(max: usize, bytes_max: u64) -> Self {
        Self {
            changes: BTreeMap::new(),
            by_key: HashMap::new(),
            next: 0,
            max,
            bytes_max,
            stats: ReplayStats::default(),
        }
    }

    /// Adds a change; older ones that it makes void go, then the oldest until the log fits.
    pub fn push(&mut self, now: Timestamp, change: Change) {
        match &change {
            Change::Clear => {
                self.stats.superseded += self.changes.len() as u64;
                self.empty();
            }
            Change::Set { key, .. } | Change::Remove { key } => {
                if let Some(seq) = self.by_key.remove(key) {
                    self.take(seq);
                    self.stats.superseded += 1;
                }
            }
            Change::InvalidateTag { tag } => self.void(tag),
        }
        self.stats.bytes += change.bytes();
        if let Some(key) = change.key() {
            self.by_key.insert(key.into(), self.next);
        }
        let waiting = Waiting { change, at: now };
        self.changes.insert(self.next, waiting);
        self.next += 1;
        while self.changes.len() > self.max || self.stats.bytes > self.bytes_max {
            let Some((&oldest, _)) = self.changes.first_key_value() else {
                break;
            };
            self.forget(oldest);
            self.stats.dropped += 1;
        }
    }

    /// Waiting values with this tag become removals. O(all that waits): outages are short.
    fn void(&mut self, tag: &str) {
        for waiting in self.changes.values_mut() {
            let Change::Set { key, entry, .. } = &waiting.change else {
                continue;
            };
            if has_tag(entry, tag) {
                let removal = Change::Remove { key: key.clone() };
                self.stats.bytes -= waiting.change.bytes() - removal.bytes();
                self.stats.superseded += 1;
                waiting.change = removal;
            }
        }
    }

    /// The change of `key` that waits.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Change> {
        let waiting = self.changes.get(self.by_key.get(key)?)?;
        Some(&waiting.change)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Up to `max` of the oldest, which stay in the log until [`Self::sent`]; `ttl_ms` is what is
    /// left of it at `now`. A set whose time is over is dropped.
    pub fn batch(&mut self, now: Timestamp, max: usize) -> Vec<(u64, Change)> {
        let mut out = Vec::new();
        let mut over = Vec::new();
        for (&seq, waiting) in &self.changes {
            if out.len() == max {
                break;
            }
            let mut change = waiting.change.clone();
            if let Change::Set { ttl_ms, .. } = &mut change {
                *ttl_ms = ttl_ms.saturating_sub(now.ms_since(waiting.at));
                if *ttl_ms == 0 {
                    over.push(seq);
                    continue;
                }
            }
            out.push((seq, change));
        }
        self.stats.dropped += over.len() as u64;
        over.into_iter().for_each(|seq| self.forget(seq));
        out
    }

    /// The store has this change of [`Self::batch`]. A newer one of its key stays.
    pub fn sent(&mut self, seq: u64) {
        self.stats.replayed += 1;
        self.forget(seq);
    }

    fn forget(&mut self, seq: u64) {
        if let Some(waiting) = self.take(seq)
            && let Some(key) = waiting.change.key()
        {
            self.by_key.remove(key);
        }
    }

    /// The figures.
    #[must_use]
    pub fn stats(&self) -> ReplayStats {
        ReplayStats {
            waiting: self.changes.len(),
            ..self.stats
        }
    }

    fn take(&mut self, seq: u64) -> Option<Waiting> {
        let waiting = self.changes.remove(&seq)?;
        self.stats.bytes -= waiting.change.bytes();
        Some(waiting)
    }

    fn empty(&mut self) {
        self.changes.clear();
        self.by_key.clear();
        self.stats.bytes = 0;
    }
}
