//! Who runs next: two lanes (small and large work) of jobs and batches in order.

use std::collections::{BTreeMap, BTreeSet};

/// Lane of ordinary work.
pub(super) const SMALL: usize = 0;
/// Lane of work that may not take the last worker.
pub(super) const LARGE: usize = 1;

/// The holder of a place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Job(u32),
    Group(u64),
}

/// A place: higher priority first (`rank` is its negation), then lower `order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    rank: i64,
    order: u64,
    who: Who,
}

/// A batch: its waiting chunks, and its place while it may start one more.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) limit: u32,
    pub(super) running: u32,
    waiting: BTreeSet<Place>,
    place: Option<Place>,
}

/// What is ready to run.
#[derive(Debug, Default)]
pub(super) struct Ready {
    lanes: [BTreeSet<Place>; 2],
    groups: BTreeMap<u64, Group>,
}

/// The coordinates of a ready job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) slot: u32,
    pub(super) seq: u64,
    pub(super) priority: i32,
    pub(super) group: u64,
    pub(super) lane: usize,
}

impl Entry {
    fn rank(&self) -> i64 {
        -i64::from(self.priority)
    }

    fn place(&self) -> Place {
        Place {
            rank: self.rank(),
            order: self.seq,
            who: Who::Job(self.slot),
        }
    }
}

impl Ready {
    pub(super) fn open(&mut self, key: u64, limit: u32) {
        let limit = limit.max(1);
        let group = Group {
            limit,
            running: 0,
            waiting: BTreeSet::new(),
            place: None,
        };
        self.groups.insert(key, group);
    }

    pub(super) fn close(&mut self, key: u64) {
        if let Some(place) = self.groups.remove(&key).and_then(|g| g.place) {
            self.lanes[SMALL].remove(&place);
        }
    }

    pub(super) fn group(&self, key: u64) -> Option<&Group> {
        self.groups.get(&key)
    }

    /// Puts a job in line. `tail` is the next sequence number: the back of the line.
    pub(super) fn insert(&mut self, entry: Entry, tail: u64) {
        if entry.group == 0 {
            self.lanes[entry.lane].insert(entry.place());
        } else if let Some(group) = self.groups.get_mut(&entry.group) {
            group.waiting.insert(entry.place());
            self.arrange(entry.group, tail);
        }
    }

    /// Takes a job out of line.
    pub(super) fn remove(&mut self, entry: Entry, tail: u64) {
        if entry.group == 0 {
            self.lanes[entry.lane].remove(&entry.place());
        } else if let Some(group) = self.groups.get_mut(&entry.group) {
            group.waiting.remove(&entry.place());
            self.arrange(entry.group, tail);
        }
    }

    /// A chunk of the group began (`+1`) or stopped (`-1`) to run.
    pub(super) fn ran(&mut self, key: u64, began: bool, tail: u64) {
        if let Some(group) = self.groups.get_mut(&key) {
            group.running = if began {
                group.running + 1
            } else {
                group.running.saturating_sub(1)
            };
            self.arrange(key, tail);
        }
    }

    /// Gives a group its place, or takes it, so that it stands in line exactly when it may run.
    fn arrange(&mut self, key: u64, tail: u64) {
        let Some(group) = self.groups.get_mut(&key) else {
            return;
        };
        let head = (group.running < group.limit)
            .then(|| group.waiting.first())
            .flatten();
        let rank = head.map(|h| h.rank);
        if group.place.map(|p| p.rank) == rank {
            return;
        }
        if let Some(place) = group.place.take() {
            self.lanes[SMALL].remove(&place);
        }
        if let Some(rank) = rank {
            let place = Place {
                rank,
                order: tail,
                who: Who::Group(key),
            };
            group.place = Some(place);
            self.lanes[SMALL].insert(place);
        }
    }

    /// Takes the next job in order; of large work only if `large` allows. [`Self::ran`] must
    /// follow: it gives the chunk's group its next place.
    pub(super) fn pop(&mut self, large: bool) -> Option<u32> {
        let small = self.lanes[SMALL].first();
        let big = self.lanes[LARGE].first().filter(|_| large);
        let (lane, place) = match (small, big) {
            (Some(s), Some(b)) if b < s => (LARGE, *b),
            (Some(s), _) => (SMALL, *s),
            (None, Some(b)) => (LARGE, *b),
            (None, None) => return None,
        };
        self.lanes[lane].remove(&place);
        match place.who {
            Who::Job(slot) => Some(slot),
            Who::Group(key) => {
                let group = self.groups.get_mut(&key)?;
                group.place = None;
                group.waiting.pop_first().and_then(|place| match place.who {
                    Who::Job(slot) => Some(slot),
                    Who::Group(_) => None,
                })
            }
        }
    }

    /// Whether something could start now.
    pub(super) fn any(&self, large: bool) -> bool {
        !self.lanes[SMALL].is_empty() || (large && !self.lanes[LARGE].is_empty())
    }

    /// How many places are before this job, counted up to `cap`.
    pub(super) fn before(&self, entry: Entry, cap: usize) -> usize {
        if entry.group == 0 {
            return self.places_before(entry.place(), cap);
        }
        let Some(group) = self.groups.get(&entry.group) else {
            return 0;
        };
        let ahead = group.waiting.range(..entry.place()).take(cap).count();
        let place = group.place.map_or(0, |p| self.places_before(p, cap));
        (ahead + place).min(cap)
    }

    fn places_before(&self, place: Place, cap: usize) -> usize {
        let of = |lane: &BTreeSet<Place>| lane.range(..place).take(cap).count();
        (of(&self.lanes[SMALL]) + of(&self.lanes[LARGE])).min(cap)
    }
}
