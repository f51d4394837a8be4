//! The ways of keeping entries, as numbers.

/// Entries that the window of [`Way::Queue`] has where that is 35 % of the cache at most: how long
/// a use lasts does not shrink with the cache.
const QUEUE_WINDOW: usize = 80;

/// See [`super::tiers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Reuse,
    Queue,
    Count,
}

impl Way {
    /// All, the first one a cache's first.
    pub(super) const ALL: [Self; 3] = [Self::Reuse, Self::Queue, Self::Count];

    /// Entries of the window in a cache of so many.
    pub(super) fn window(self, entries: usize) -> usize {
        let window = match self {
            Self::Reuse => entries / 128,
            Self::Queue => (entries / 5).max(QUEUE_WINDOW.min(entries / 20 * 7)),
            Self::Count => entries / 20,
        };
        window.max(1)
    }

    /// How many keys a cache of so many entries remembers.
    pub(super) fn ghosts(self, entries: usize) -> usize {
        match self {
            Self::Reuse => entries * 2,
            Self::Queue => entries + entries.div_ceil(2),
            Self::Count => entries / 8 * 3,
        }
    }

    /// Up to where hits are counted.
    pub(super) fn most_hits(self) -> u32 {
        match self {
            Self::Reuse | Self::Queue => 4,
            Self::Count => 15,
        }
    }
}
