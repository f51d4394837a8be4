//! What otter 1 (`internal/eviction/s3fifo` of maypok86/otter before its version 2) does, written
//! anew after its source: S3-FIFO with a tenth for new entries, two hits to stay, a clock that
//! gives up at its twentieth entry, and as many keys remembered as it holds entries.
//!
//! Its table takes an entry at once, and another goroutine lets one go for it later. What waits for
//! that goroutine is held beyond the capacity, so a figure of otter's own is one of a larger cache.

use std::collections::{HashMap, HashSet, VecDeque};

use super::peers::ReadThrough;

/// Insertions that wait at once in the runs that are published ([`super::published`]): with so
/// many, seven of eight figures for arc-oltp come out to 0.2 points and the eighth to 0.7; with
/// none they are missed by up to 5.
pub const BEHIND: usize = 40;

/// Hits that are counted at most.
const MOST_HITS: u8 = 3;
/// Hits of a new entry beyond which it stays.
const HITS_TO_STAY: u8 = 1;
/// The clock takes the entry that it would spare as its so manieth.
const MOST_SPARED: usize = 20;

/// See the module's text.
pub struct Otter {
    capacity: usize,
    /// Most insertions for which nothing went yet.
    behind: usize,
    /// Counted hits of what is held.
    hits: HashMap<u64, u8>,
    waiting: VecDeque<u64>,
    new: VecDeque<u64>,
    main: VecDeque<u64>,
    gone: VecDeque<u64>,
    is_gone: HashSet<u64>,
}

impl Otter {
    /// Up to `behind` more than `capacity` entries are held.
    pub fn new(capacity: usize, behind: usize) -> Self {
        Self {
            capacity,
            behind,
            hits: HashMap::new(),
            waiting: VecDeque::new(),
            new: VecDeque::new(),
            main: VecDeque::new(),
            gone: VecDeque::new(),
            is_gone: HashSet::new(),
        }
    }

    fn settle(&mut self, key: u64) {
        if self.is_gone.contains(&key) {
            self.main.push_back(key);
            self.hits.insert(key, 0);
        } else {
            self.new.push_back(key);
        }
        while self.new.len() + self.main.len() > self.capacity {
            if self.new.len() >= self.capacity / 10 {
                self.judge();
            } else {
                self.give_up();
            }
        }
    }

    /// The oldest new entry stays or goes.
    fn judge(&mut self) {
        let Some(key) = self.new.pop_front() else {
            return;
        };
        if self.hits.get(&key).is_some_and(|&hits| hits > HITS_TO_STAY) {
            self.main.push_back(key);
            while self.main.len() >= self.capacity - self.capacity / 10 {
                self.give_up();
            }
            if let Some(hits) = self.hits.get_mut(&key) {
                *hits = 0;
            }
            return;
        }
        self.hits.remove(&key);
        let most = self.new.len() + self.main.len();
        if most == 0 || !self.is_gone.insert(key) {
            return;
        }
        while self.gone.len() >= most {
            let oldest = self.gone.pop_front();
            oldest.map(|key| self.is_gone.remove(&key));
        }
        self.gone.push_back(key);
    }

    /// One entry of the main list goes.
    fn give_up(&mut self) {
        for spared in 1.. {
            let Some(key) = self.main.pop_front() else {
                return;
            };
            match self.hits.get_mut(&key) {
                Some(hits) if *hits > 0 && spared < MOST_SPARED => *hits -= 1,
                _ => {
                    self.hits.remove(&key);
                    return;
                }
            }
            self.main.push_back(key);
        }
    }
}

impl ReadThrough for Otter {
    fn access(&mut self, key: u64) -> bool {
        if let Some(hits) = self.hits.get_mut(&key) {
            *hits = MOST_HITS.min(*hits + 1);
            return true;
        }
        self.hits.insert(key, 0);
        self.waiting.push_back(key);
        while self.waiting.len() > self.behind {
            let next = self.waiting.pop_front();
            next.into_iter().for_each(|key| self.settle(key));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_its_capacity_and_what_waits() {
        for behind in [0, 7] {
            let mut otter = Otter::new(50, behind);
            let mut most = 0;
            for n in 0..20_000_u64 {
                otter.access(n * n % 4_099 % (1 + n % 200));
                most = most.max(otter.hits.len());
                assert!(otter.gone.len() <= 50 && otter.is_gone.len() == otter.gone.len());
            }
            assert_eq!(most, 50 + behind);
        }
    }

    #[test]
    fn two_hits_keep_an_entry_through_a_scan() {
        let mut otter = Otter::new(50, 0);
        for key in [1, 1, 1, 2, 2] {
            otter.access(key);
        }
        for key in 100..200 {
            otter.access(key);
        }
        assert!(otter.access(1) && !otter.access(2));
        // Given up a short while ago, it comes back to stay.
        for key in 200..260 {
            otter.access(key);
        }
        assert!(!otter.access(2));
        for key in 300..400 {
            otter.access(key);
        }
        assert!(otter.access(2));
    }
}
