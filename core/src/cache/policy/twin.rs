//! The tiers held equal to a naive twin over random operations.

use proptest::prelude::*;

use super::ghost::Ghost;
use super::tiers::Tiers;
use super::way::Way;

/// One entry, the front of a vector being the front of its list.
#[derive(Debug, Clone, PartialEq)]
struct Item {
    hash: u64,
    last: u32,
    hits: u32,
    charge: u64,
}

/// The same rules over vectors that are searched from end to end; limits below 4 GiB only.
struct Naive {
    way: Way,
    window: Vec<Item>,
    main: Vec<Item>,
    ghost: Ghost,
    now: u32,
    max_entries: usize,
    max_bytes: u64,
    entries: usize,
    patience: u64,
    in_vain: usize,
    incoming: u64,
    largest: u64,
}

impl Naive {
    fn share(&self, whole: u64) -> u64 {
        let entries = self.max_entries as u64;
        let window = match self.way {
            Way::Reuse => entries / 128,
            Way::Queue => (entries / 5).max(80.min(entries / 20 * 7)),
            Way::Count => entries / 20,
        };
        (whole * window.max(1) / entries).max(1)
    }

    fn window_room(&self) -> u64 {
        self.share(self.max_bytes).max(self.largest)
    }

    fn ghosts(&self) -> usize {
        match self.way {
            Way::Reuse => 2 * self.entries,
            Way::Queue => self.entries + self.entries.div_ceil(2),
            Way::Count => self.entries / 8 * 3,
        }
    }

    fn bytes(list: &[Item]) -> u64 {
        list.iter().map(|item| item.charge).sum()
    }

    fn fits_main(&self, entries: usize, bytes: u64) -> bool {
        let (most, weight) = (self.max_entries as u64, self.max_bytes);
        (self.main.len() + entries) as u64 + self.share(most) <= most
            && Self::bytes(&self.main) + bytes + self.window_room() <= weight
    }

    fn fit_main(&mut self) {
        while self.way == Way::Reuse && !self.fits_main(0, 0) {
            let Some(item) = self.main.pop() else { return };
            self.window.insert(0, Item { hits: 0, ..item });
        }
    }

    fn hit(&mut self, hash: u64) {
        self.now += 1;
        let most = if self.way == Way::Count { 15 } else { 4 };
        let size = self.entries as u64;
        if let Some(at) = self.main.iter().position(|item| item.hash == hash) {
            let age = self.now - self.main[at].last;
            let same_use = age as usize <= self.entries / 8;
            if !same_use {
                self.main[at].last = self.now;
                self.main[at].hits += u32::from(self.main[at].hits < most);
            }
            self.in_vain = 0;
            let least = 16 * size;
            if 2 * u64::from(age) > least + self.patience {
                self.patience = 2 * u64::from(age) - least;
            } else {
                self.patience -= self.patience >> (4 * size).ilog2();
            }
            if self.way == Way::Reuse && !same_use {
                let item = self.main.remove(at);
                self.main.insert(0, item);
            }
            return;
        }
        let at = self.window.iter().position(|i| i.hash == hash).unwrap();
        let age = self.now - self.window[at].last;
        if age as usize <= self.entries / 8 {
            return;
        }
        self.window[at].last = self.now;
        self.window[at].hits += u32::from(self.window[at].hits < most);
        let sooner = |tail: &Item| age < self.now - tail.last;
        let stays =
            self.fits_main(1, self.window[at].charge) || self.main.last().is_some_and(sooner);
        if self.way == Way::Reuse && stays {
            let item = self.window.remove(at);
            self.main.insert(0, Item { hits: 0, ..item });
            self.fit_main();
        }
    }

    fn admit(&mut self, hash: u64, charge: u64, full: bool) -> bool {
        self.now += 1;
        self.incoming = charge;
        self.largest -= self.largest >> self.entries.ilog2();
        self.largest = self.largest.max(charge).min(self.max_bytes / 2);
        if full {
            self.entries = (self.window.len() + self.main.len()).max(1);
            self.ghost.limit(self.ghosts());
        }
        let ghost = self.ghost.take(hash);
        if self.way != Way::Reuse {
            return ghost.is_some();
        }
        if self.fits_main(1, charge) {
            return true;
        }
        let Some(tail) = self.main.last().cloned() else {
            return false;
        };
        let size = self.entries as u64;
        if u64::from(self.now - tail.last) > 16 * size + self.patience {
            self.main.pop();
            self.window.insert(0, Item { hits: 0, ..tail });
            self.in_vain += 1;
            let main = self.max_entries as u64
                - self
                    .share(self.max_entries as u64)
                    .min(self.max_entries as u64);
            if self.in_vain as u64 >= main.min(size) {
                self.in_vain = 0;
                self.patience = 2 * self.patience + 16 * size;
            }
            return true;
        }
        let rounded = |time| self.ghost.rounded(time);
        ghost.is_some_and(|last| last > rounded(tail.last))
    }

    fn store(&mut self, hash: u64, charge: u64, main: bool) {
        let list = if main {
            &mut self.main
        } else {
            &mut self.window
        };
        let (last, hits) = (self.now, 0);
        list.insert(
            0,
            Item {
                hash,
                last,
                hits,
                charge,
            },
        );
        self.fit_main();
    }

    /// Takes the last but `keep` from a list.
    fn last(list: &mut Vec<Item>, keep: Option<u64>) -> Option<u64> {
        if list.last().map(|item| item.hash) == keep && keep.is_some() {
            let item = list.pop()?;
            list.insert(0, item);
        }
        list.last()
            .map(|item| item.hash)
            .filter(|&hash| Some(hash) != keep)
    }

    fn main_victim(&mut self, keep: Option<u64>) -> Option<u64> {
        loop {
            let hash = Self::last(&mut self.main, keep)?;
            let item = self.main.last()?.clone();
            if self.way == Way::Reuse || item.hits == 0 {
                return Some(hash);
            }
            self.main.pop();
            self.main.insert(
                0,
                Item {
                    hits: item.hits - 1,
                    ..item
                },
            );
        }
    }

    fn victim(&mut self, keep: Option<u64>) -> Option<u64> {
        loop {
            let full = self.window.len() as u64 >= self.share(self.max_entries as u64)
                || Self::bytes(&self.window) + self.incoming > self.window_room();
            let mut slot = None;
            if full || self.main.is_empty() {
                slot = Self::last(&mut self.window, keep);
            }
            let Some(hash) = slot else {
                let main = self.main_victim(keep);
                return main.or_else(|| Self::last(&mut self.window, keep));
            };
            if self.way == Way::Reuse || self.window.last()?.hits < 2 {
                return Some(hash);
            }
            let item = self.window.pop()?;
            self.main.insert(0, Item { hits: 0, ..item });
            if !self.fits_main(0, 0)
                && let Some(victim) = self.main_victim(keep)
            {
                return Some(victim);
            }
        }
    }

    fn remove(&mut self, hash: u64, evicted: bool) {
        self.main.retain(|item| item.hash != hash);
        if let Some(at) = self.window.iter().position(|item| item.hash == hash) {
            let item = self.window.remove(at);
            if evicted {
                let most = self.ghosts();
                if most > self.ghost.room() {
                    self.ghost.resize(self.entries, most);
                }
                self.ghost.insert(hash, item.last);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A key is asked for, and stored with this charge when it is not there.
    Access(u64, u64),
    Replace(u64, u64),
    Remove(u64),
    Go(Way),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (0u64..40, 1u64..30).prop_map(|(k, c)| Step::Access(k, c)),
        3 => (0u64..40, 1u64..30).prop_map(|(k, c)| Step::Replace(k, c)),
        2 => (0u64..40).prop_map(Step::Remove),
        1 => (0usize..3).prop_map(|way| Step::Go(Way::ALL[way])),
    ]
}

/// The tiers with the hashes of their slots, as the cache has them.
struct Pair {
    tiers: Tiers,
    slots: Vec<(u64, u64)>,
    naive: Naive,
}

impl Pair {
    fn slot(&self, hash: u64) -> Option<u32> {
        let at = self.slots.iter().position(|&(h, _)| h == hash)?;
        Some(at as u32)
    }

    fn remove(&mut self, slot: u32, evicted: bool) {
        let hash = self.slots[slot as usize].0;
        if evicted {
            self.tiers.evicted(slot, hash);
        }
        self.tiers.swap_remove(slot);
        self.slots.swap_remove(slot as usize);
        self.naive.remove(hash, evicted);
    }

    fn is_over(&self, entries: usize, charge: u64) -> bool {
        let bytes: u64 = self.slots.iter().map(|&(_, c)| c).sum();
        self.slots.len() + entries > self.naive.max_entries || bytes + charge > self.naive.max_bytes
    }

    fn make_room(&mut self, entries: usize, charge: u64, keep: Option<u64>) {
        while self.is_over(entries, charge) {
            let slot = self.tiers.victim(keep.and_then(|hash| self.slot(hash)));
            let hash = slot.map(|slot| self.slots[slot as usize].0);
            assert_eq!(hash, self.naive.victim(keep));
            let Some(slot) = slot else { return };
            self.remove(slot, true);
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Access(hash, charge) => match self.slot(hash) {
                Some(slot) => {
                    self.tiers.hit(slot);
                    self.naive.hit(hash);
                }
                None => {
                    let full = self.is_over(1, charge);
                    let admission = self.tiers.admit(hash, charge, full);
                    assert_eq!(admission.main, self.naive.admit(hash, charge, full));
                    self.make_room(1, charge, None);
                    self.tiers.push(admission, charge);
                    self.slots.push((hash, charge));
                    self.naive.store(hash, charge, admission.main);
                }
            },
            Step::Replace(hash, charge) => {
                let Some(slot) = self.slot(hash) else { return };
                self.tiers.replaced(slot, charge);
                self.slots[slot as usize].1 = charge;
                self.naive.incoming = 0;
                let lists = self.naive.main.iter_mut().chain(&mut self.naive.window);
                lists
                    .filter(|i| i.hash == hash)
                    .for_each(|i| i.charge = charge);
                self.naive.hit(hash);
                self.make_room(0, 0, Some(hash));
            }
            Step::Remove(hash) => {
                if let Some(slot) = self.slot(hash) {
                    self.remove(slot, false);
                }
            }
            Step::Go(way) => {
                self.tiers.set_way(way);
                self.naive.way = way;
                self.naive.ghost.limit(self.naive.ghosts());
            }
        }
    }

    /// Both have the same entries in the same order, each once.
    fn check(&self) {
        let walk = core::iter::successors(self.tiers.first(), |&slot| self.tiers.after(slot));
        let walked: Vec<u64> = walk.map(|slot| self.slots[slot as usize].0).collect();
        let naive = self.naive.main.iter().chain(&self.naive.window);
        assert_eq!(walked, naive.map(|item| item.hash).collect::<Vec<_>>());
        assert_eq!(walked.len(), self.slots.len());
        assert!(!self.is_over(0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_tiers_equal_the_naive_twin(
        max_entries in 1usize..30,
        max_bytes in prop_oneof![30u64..400, Just(100_000)],
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let mut pair = Pair {
            tiers: Tiers::new(max_entries, max_bytes, Way::Reuse),
            slots: Vec::new(),
            naive: Naive {
                way: Way::Reuse,
                window: Vec::new(),
                main: Vec::new(),
                ghost: Ghost::default(),
                now: 0,
                max_entries,
                max_bytes,
                entries: max_entries,
                patience: 0,
                in_vain: 0,
                incoming: 0,
                largest: 0,
            },
        };
        for step in &steps {
            pair.apply(step);
            pair.check();
        }
    }
}
