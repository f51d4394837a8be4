//! Lists of the best so many neighbors of every entity, filled by many threads at once.

use core::{
    cmp::Ordering,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};
use std::{
    collections::BinaryHeap,
    sync::{Mutex, PoisonError},
};

use super::{Neighbor, SimilarityError};

/// A neighbor as a list keeps it: the smaller, the better; no two of a list are equal.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    /// The measure's value, negated where larger ones come first.
    rank: f64,
    entity: u32,
    common: u32,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_rank = self.rank.total_cmp(&other.rank);
        by_rank.then(self.entity.cmp(&other.entity))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

/// One list of up to `k` neighbors for each entity. The order of a list is total, so what it ends
/// with does not depend on who offers first. Memory: 16 bytes a neighbor, 48 a list.
pub(super) struct Lists {
    k: usize,
    ascending: bool,
    /// The worst on top.
    lists: Vec<Mutex<BinaryHeap<Ranked>>>,
    /// By entity, as bits: the rank that its list has no place for beyond; infinite until it is
    /// full. May lag behind the list, which costs time and never a neighbor.
    bars: Vec<AtomicU64>,
    /// Neighbors in all lists.
    count: AtomicUsize,
    max: usize,
}

impl Lists {
    /// Empty lists for that many entities; `max`: neighbors of all lists together.
    pub(super) fn new(entities: u32, k: usize, ascending: bool, max: usize) -> Self {
        let none = f64::INFINITY.to_bits();
        Self {
            k,
            ascending,
            lists: (0..entities).map(|_| Mutex::default()).collect(),
            bars: (0..entities).map(|_| AtomicU64::new(none)).collect(),
            count: AtomicUsize::new(0),
            max,
        }
    }

    /// The rank of the worst in a full list, else infinity: what is above it need not be offered.
    pub(super) fn bar(&self, entity: u32) -> f64 {
        f64::from_bits(self.bars[entity as usize].load(Relaxed))
    }

    /// A value as the bars have it: the smaller, the better.
    #[inline(always)]
    pub(super) fn rank(&self, value: f64) -> f64 {
        if self.ascending { value } else { -value }
    }

    /// Offers a neighbor to the list of `entity`; gives its new bar, if that changed.
    pub(super) fn offer(
        &self,
        entity: u32,
        neighbor: Neighbor,
    ) -> Result<Option<f64>, SimilarityError> {
        let rank = self.rank(neighbor.similarity);
        if rank > self.bar(entity) || self.k == 0 {
            return Ok(None);
        }
        let ranked = Ranked {
            rank,
            entity: neighbor.entity,
            common: neighbor.common,
        };
        let list = &self.lists[entity as usize];
        let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() < self.k {
            if self.count.fetch_add(1, Relaxed) >= self.max {
                return Err(SimilarityError::TooManyPairs { max: self.max });
            }
            if list.len() == list.capacity() {
                let more = list.len().max(4).min(self.k - list.len());
                list.reserve_exact(more);
            }
            list.push(ranked);
        } else if let Some(mut worst) = list.peek_mut() {
            if ranked >= *worst {
                return Ok(None);
            }
            *worst = ranked;
        }
        if list.len() < self.k {
            return Ok(None);
        }
        let bar = list.peek().map(|worst| worst.rank);
        if let Some(bar) = bar {
            self.bars[entity as usize].store(bar.to_bits(), Relaxed);
        }
        Ok(bar)
    }

    /// The lists, each best first.
    pub(super) fn into_sorted(self) -> Vec<Vec<Neighbor>> {
        let ascending = self.ascending;
        let neighbor = |ranked: Ranked| Neighbor {
            entity: ranked.entity,
            common: ranked.common,
            similarity: if ascending { ranked.rank } else { -ranked.rank },
        };
        self.lists
            .into_iter()
            .map(|list| {
                let list = list.into_inner().unwrap_or_else(PoisonError::into_inner);
                list.into_sorted_vec().into_iter().map(neighbor).collect()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbor(entity: u32, similarity: f64) -> Neighbor {
        Neighbor {
            entity,
            common: 1,
            similarity,
        }
    }

    #[test]
    fn a_list_keeps_its_best_and_its_bar() {
        let lists = Lists::new(2, 2, false, 10);
        let offer = |entity, value| lists.offer(0, neighbor(entity, value)).unwrap();
        assert_eq!(offer(5, 0.25), None);
        assert_eq!(offer(9, 0.5), Some(-0.25));
        assert_eq!(offer(8, 0.25), None);
        assert_eq!(offer(3, 0.25), Some(-0.25));
        assert_eq!(offer(7, 0.75), Some(-0.5));
        assert_eq!(offer(1, 0.125), None);
        assert_eq!((lists.bar(0), lists.bar(1)), (-0.5, f64::INFINITY));
        let sorted = lists.into_sorted();
        assert_eq!(sorted[0], [neighbor(7, 0.75), neighbor(9, 0.5)]);
        assert!(sorted[1].is_empty());
    }

    #[test]
    fn more_neighbors_than_allowed_are_an_error() {
        let lists = Lists::new(2, 2, true, 3);
        for (entity, other) in [(0, 4), (0, 5), (0, 6), (1, 4)] {
            lists.offer(entity, neighbor(other, 1.0)).unwrap();
        }
        let error = lists.offer(1, neighbor(5, 1.0)).unwrap_err();
        assert_eq!(error, SimilarityError::TooManyPairs { max: 3 });
    }
}
