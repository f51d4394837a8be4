//! From a tag to the keys of the entries that carry it.

use std::{borrow::Cow, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::Entry;
use crate::cache::{OnRemove, Removal};

/// Keys that share a tag.
pub(super) type Keys = HashSet<Arc<str>, FixedState>;

/// A table of this capacity is never made smaller.
const SMALL: usize = 28;

/// The keys of each tag that at least one entry has.
#[derive(Debug, Clone, Default)]
pub(super) struct TagIndex {
    tags: HashMap<Arc<str>, Keys, FixedState>,
}

impl TagIndex {
    /// These tags, each once and sorted; the text of one that is known is shared.
    pub(super) fn named(&self, tags: &[Cow<'_, str>]) -> Box<[Arc<str>]> {
        let mut names: Vec<&str> = tags.iter().map(AsRef::as_ref).collect();
        names.sort_unstable();
        names.dedup();
        let shared = |name: &str| match self.tags.get_key_value(name) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(name),
        };
        names.into_iter().map(shared).collect()
    }

    /// An entry that was stored.
    pub(super) fn add(&mut self, key: &Arc<str>, tags: &[Arc<str>]) {
        for tag in tags {
            let keys = self.tags.entry(Arc::clone(tag)).or_default();
            keys.insert(Arc::clone(key));
        }
    }

    /// An entry that is gone.
    pub(super) fn forget(&mut self, key: &str, tags: &[Arc<str>]) {
        for tag in tags {
            let Some(keys) = self.tags.get_mut(&**tag) else {
                continue;
            };
            keys.remove(key);
            if keys.is_empty() {
                self.tags.remove(&**tag);
                self.shrink();
            } else if is_sparse(keys.len(), keys.capacity()) {
                keys.shrink_to(2 * keys.len());
            }
        }
    }

    /// Takes a tag out; its keys.
    pub(super) fn take(&mut self, tag: &str) -> Keys {
        let keys = self.tags.remove(tag).unwrap_or_default();
        self.shrink();
        keys
    }

    fn shrink(&mut self) {
        if is_sparse(self.tags.len(), self.tags.capacity()) {
            self.tags.shrink_to(2 * self.tags.len());
        }
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Keys)> {
        self.tags.iter().map(|(tag, keys)| (&**tag, keys))
    }

    /// Heap bytes of the tables, without the texts.
    #[cfg(test)]
    pub(super) fn allocated_bytes(&self) -> usize {
        let keys: usize = self.tags.values().map(HashSet::allocation_size).sum();
        self.tags.allocation_size() + keys
    }
}

/// Whether a table has far more room than it had to have: so seldom that making it smaller is O(1)
/// amortized.
fn is_sparse(len: usize, capacity: usize) -> bool {
    capacity > SMALL && len < capacity / 4
}

impl<V> OnRemove<Box<str>, Entry<V>> for TagIndex {
    #[inline]
    fn on_remove(&mut self, key: Box<str>, entry: Entry<V>, _why: Removal) {
        if entry.more.is_some() {
            self.forget(&key, entry.tags());
        }
    }
}
