//! Which pairs of a walk stay.

use core::{
    cmp::Ordering,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::{
    Neighbor, Options, Pair, SimilarityError,
    inverted::Ids,
    measure::{LANES, Lanes, N},
    order,
};
use crate::simd;

/// Tells which pairs have enough in common and are similar enough.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    min_common: f64,
    min_similarity: f64,
    pub(super) ascending: bool,
}

impl Keep {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            min_common: f64::from(options.min_common.max(1)),
            min_similarity: options.min_similarity,
            ascending: options.measure.is_ascending(),
        }
    }

    #[inline(always)]
    pub(super) fn has_support(&self, common: f64) -> bool {
        common >= self.min_common
    }

    #[inline(always)]
    pub(super) fn keeps(&self, common: f64, value: f64) -> bool {
        let similarity = if self.ascending {
            1.0 / (1.0 + value)
        } else {
            value
        };
        self.has_support(common) & (similarity >= self.min_similarity)
    }

    /// What stands for a pair with too little in common.
    pub(super) fn unsupported(&self) -> f64 {
        if self.ascending { f64::INFINITY } else { 0.0 }
    }

    /// Writes values to the places of their entities, of which the first is `first`.
    pub(super) fn write(
        &self,
        lanes: &Lanes,
        ids: Ids<'_>,
        len: usize,
        first: u32,
        values: &mut [f64],
    ) {
        if let Some(start) = ids.range_start() {
            let values = &mut values[(start - first) as usize..][..len];
            simd::dispatch(WriteRange {
                keep: *self,
                lanes,
                values,
            });
        } else {
            for lane in 0..len {
                values[(ids.get(lane) - first) as usize] = self.value(lanes, lane);
            }
        }
    }

    #[inline(always)]
    fn value(&self, lanes: &Lanes, lane: usize) -> f64 {
        if self.has_support(lanes.sums[N][lane]) {
            lanes.values[lane]
        } else {
            self.unsupported()
        }
    }

    /// Calls `f(lane)` for the lanes that stay.
    #[inline(always)]
    fn for_each(&self, lanes: &Lanes, len: usize, mut f: impl FnMut(usize)) {
        for lane in 0..len {
            if self.keeps(lanes.sums[N][lane], lanes.values[lane]) {
                f(lane);
            }
        }
    }
}

/// The values of the first lanes, in their order.
struct WriteRange<'a> {
    keep: Keep,
    lanes: &'a Lanes,
    values: &'a mut [f64],
}

impl simd::Kernel for WriteRange<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self {
            keep,
            lanes,
            values,
        } = self;
        let len = values.len().min(LANES);
        for (lane, place) in values[..len].iter_mut().enumerate() {
            *place = keep.value(lanes, lane);
        }
    }
}

/// Takes all pairs up to a maximum over all threads.
pub(super) struct All<'a> {
    pub(super) keep: Keep,
    pub(super) max: usize,
    /// Pairs of all threads.
    pub(super) count: &'a AtomicUsize,
    pub(super) pairs: Vec<Pair>,
    /// Lanes of one call that stay, and one that may not.
    pub(super) buffer: [Pair; LANES],
}

impl All<'_> {
    /// Takes lanes; whether one stays is not predictable, so nothing branches on it.
    pub(super) fn take(&mut self, a: u32, lanes: &Lanes, ids: Ids<'_>, len: usize) {
        if self.count.load(Relaxed) > self.max {
            return;
        }
        let Lanes { sums, values, .. } = lanes;
        let mut kept = 0;
        for lane in 0..len.min(LANES) {
            self.buffer[kept % LANES] = Pair {
                a,
                b: ids.get(lane),
                similarity: values[lane],
                common: sums[N][lane] as u32,
            };
            kept += usize::from(self.keep.keeps(sums[N][lane], values[lane]));
        }
        self.pairs.extend_from_slice(&self.buffer[..kept]);
        self.count.fetch_add(kept, Relaxed);
    }

    /// To be asked after every row.
    pub(super) fn check(&self) -> Result<(), SimilarityError> {
        if self.count.load(Relaxed) > self.max {
            return Err(SimilarityError::TooManyPairs { max: self.max });
        }
        Ok(())
    }
}

/// Keeps the best `limit` of what it is given, in memory for twice as many.
pub(super) struct Best<T, F> {
    limit: usize,
    compare: F,
    kept: Vec<T>,
    /// What is not before this one is not among the best.
    bar: Option<T>,
}

/// Below this many a cut is not worth its cost.
const CUT_MIN: usize = 64;

impl<T: Copy, F: Fn(&T, &T) -> Ordering> Best<T, F> {
    /// `compare` must be total: no two different elements equal.
    pub(super) fn new(limit: usize, compare: F) -> Self {
        Self {
            limit,
            compare,
            kept: Vec::new(),
            bar: None,
        }
    }

    pub(super) fn push(&mut self, item: T) {
        if let Some(bar) = &self.bar
            && (self.compare)(&item, bar).is_ge()
        {
            return;
        }
        self.kept.push(item);
        if self.kept.len() >= self.limit.saturating_mul(2).max(CUT_MIN) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.kept.len() <= self.limit {
            return;
        }
        match self.limit.checked_sub(1) {
            Some(last) => {
                self.kept.select_nth_unstable_by(last, &self.compare);
                self.bar = self.kept.get(last).copied();
            }
            None => self.bar = None,
        }
        self.kept.truncate(self.limit);
    }

    /// The best, in order.
    pub(super) fn into_sorted(mut self) -> Vec<T> {
        self.cut();
        self.kept.sort_unstable_by(&self.compare);
        self.kept
    }

    /// The best, in any order.
    pub(super) fn into_kept(mut self) -> Vec<T> {
        self.cut();
        self.kept
    }
}

/// Offers the lanes that stay as pairs of `a`.
pub(super) fn offer_pairs<F: Fn(&Pair, &Pair) -> Ordering>(
    best: &mut Best<Pair, F>,
    keep: &Keep,
    a: u32,
    (lanes, ids, len): (&Lanes, Ids<'_>, usize),
) {
    keep.for_each(lanes, len, |lane| {
        best.push(Pair {
            a,
            b: ids.get(lane),
            similarity: lanes.values[lane],
            common: lanes.sums[N][lane] as u32,
        });
    });
}

/// Offers the lanes that stay, other than `a` itself, as neighbors of `a`.
pub(super) fn offer_neighbors<F: Fn(&Neighbor, &Neighbor) -> Ordering>(
    best: &mut Best<Neighbor, F>,
    keep: &Keep,
    a: u32,
    (lanes, ids, len): (&Lanes, Ids<'_>, usize),
) {
    keep.for_each(lanes, len, |lane| {
        if ids.get(lane) != a {
            best.push(Neighbor {
                entity: ids.get(lane),
                common: lanes.sums[N][lane] as u32,
                similarity: lanes.values[lane],
            });
        }
    });
}

/// Which of two neighbors comes first.
pub(super) fn compare_neighbors(ascending: bool, p: &Neighbor, q: &Neighbor) -> Ordering {
    let pair = |n: &Neighbor| Pair {
        a: 0,
        b: n.entity,
        similarity: n.similarity,
        common: n.common,
    };
    order::compare(ascending, &pair(p), &pair(q))
}
