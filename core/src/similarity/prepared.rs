//! One measure prepared over ratings, and the questions it answers.

use core::{ops::Range, sync::atomic::AtomicUsize};
use std::sync::{Mutex, PoisonError};

use super::{
    Measure, Neighbor, Options, Pair, Ratings, SimilarityError,
    chunks::cut,
    float::{Floats, for_each_common},
    inverted::{Ids, Inverted, Kind},
    kernel::{Kernel, RowKind, Scratches, packed_kernel},
    measure::{LANES, Lanes, N},
    meter::{Meter, Ticker},
    order::{self, Parted},
    packed::quantize,
    select::{All, Best, Keep, compare_neighbors, offer_neighbors, offer_pairs},
    slab::{Slab, Slabs},
    spare::Spare,
};
use crate::{control::Control, pages, par::Par};

/// Whether lists of all entities work each pair once. The results are the same, to the bit; the
/// code is left out of wasm for one thread, which has a bound on its size.
const EACH_PAIR_ONCE: bool = cfg!(any(not(target_arch = "wasm32"), target_feature = "atomics"));

/// One measure over ratings, ready for questions.
///
/// Building it costs O(ratings); it holds up to 32 bytes a rating. With c co-rated items over all
/// pairs (for item i rated by rᵢ entities: Σ rᵢ(rᵢ-1)/2), all pairs cost c additions and n²/2
/// evaluations at most, and less where few pairs have anything in common.
pub struct Similarity<'a> {
    pub(super) ratings: &'a Ratings,
    pub(super) options: Options,
    pub(super) inverted: Inverted,
    pub(super) kernel: Kernel<'a>,
    /// Squared norms or counts by entity, where the measure needs them.
    pub(super) sides: Vec<f64>,
    pub(super) step: f64,
}

impl<'a> Similarity<'a> {
    /// Prepares.
    ///
    /// # Errors
    /// [`SimilarityError::MinSimilarityNan`].
    pub fn new(ratings: &'a Ratings, options: &Options) -> Result<Self, SimilarityError> {
        if options.min_similarity.is_nan() {
            return Err(SimilarityError::MinSimilarityNan);
        }
        let measure = options.measure;
        let inverted = Inverted::new(ratings);
        let row_lens = (0..ratings.len()).map(|a| ratings.range(a).len());
        let common = row_lens.clone().max().unwrap_or(0) as u64;
        let mut step = 1.0;
        let packed = match measure {
            Measure::Jaccard => Some((vec![0; ratings.ratings_len()], 0, 1.0)),
            _ => quantize(ratings.values(), measure.is_shift_invariant())
                .map(|c| (c.codes, c.code_max, c.step)),
        };
        let kernel = packed.and_then(|(codes, code_max, code_step)| {
            step = code_step;
            packed_kernel(measure, common, codes, code_max, ratings, &inverted)
        });
        let kernel = kernel.unwrap_or_else(|| {
            step = 1.0;
            Kernel::Float(Floats::new(ratings, &inverted, measure))
        });
        let sides = match measure {
            Measure::Jaccard => row_lens.map(|len| len as f64).collect(),
            Measure::CosineZeroFilled => kernel.squared_norms(ratings),
            _ => Vec::new(),
        };
        Ok(Self {
            ratings,
            options: *options,
            inverted,
            kernel,
            sides,
            step,
        })
    }

    /// All pairs that the options keep: best first (for distances smallest first), then by (a, b).
    ///
    /// # Errors
    /// [`SimilarityError::TooManyPairs`] as soon as there are, unless [`Options::limit`] is set;
    /// [`SimilarityError::Stopped`].
    pub fn all_pairs(
        &self,
        par: Par,
        control: &impl Control,
    ) -> Result<Vec<Pair>, SimilarityError> {
        if let Some(limit) = self.options.limit {
            return self.best_pairs(limit.min(self.options.max_pairs), par, control);
        }
        let (chunks, total) = self.plan(0..self.ratings.len(), false);
        let meter = Meter::new(control, total);
        let count = AtomicUsize::new(0);
        let ascending = self.options.measure.is_ascending();
        let spare = Spare::<(Scratches, Vec<Pair>, Slab)>::new();
        let n = u64::from(self.ratings.len());
        let slabs = Slabs::new(n * n.saturating_sub(1) / 2);
        let parts = par.try_map(chunks.len(), |chunk| {
            let mut ticker = Ticker::new(&meter);
            let (mut scratches, pairs, mut slab) = spare.take();
            let mut all = All {
                keep: Keep::new(&self.options),
                max: self.options.max_pairs,
                count: &count,
                pairs,
                buffer: [order::NONE; LANES],
            };
            for a in chunks[chunk].clone() {
                self.row_into(
                    &mut scratches,
                    a,
                    false,
                    &mut ticker,
                    &mut |lanes, ids, len| {
                        all.take(a, lanes, ids, len);
                    },
                )?;
                all.check()?;
            }
            ticker.flush()?;
            let parted = Parted::new(&all.pairs, ascending, &mut slab, &slabs);
            all.pairs.clear();
            spare.give((scratches, all.pairs, slab));
            Ok::<_, SimilarityError>(parted)
        })?;
        for (_, _, slab) in spare.into_inner() {
            slabs.keep(slab);
        }
        Ok(order::merge(&parts, slabs, ascending, par))
    }

    /// The values of all pairs without their names: (0, 1), (0, 2), .., (1, 2), .., so that (a, b)
    /// with a < b is at `a n - a (a + 1) / 2 + b - a - 1`. Pairs with fewer than
    /// [`Options::min_common`] co-rated items have 0, or infinity for a distance;
    /// [`Options::min_similarity`] does not apply. 8 bytes a pair.
    ///
    /// # Errors
    /// [`SimilarityError::TooManyPairs`] if n (n - 1) / 2 exceeds [`Options::max_pairs`];
    /// [`SimilarityError::Stopped`].
    pub fn triangle(&self, par: Par, control: &impl Control) -> Result<Vec<f64>, SimilarityError> {
        let n = u64::from(self.ratings.len());
        let max = self.options.max_pairs;
        if n * n.saturating_sub(1) / 2 > max as u64 {
            return Err(SimilarityError::TooManyPairs { max });
        }
        let row_len = |a: u32| (self.ratings.len() - 1 - a) as usize;
        let keep = Keep::new(&self.options);
        let (chunks, total) = self.plan(0..self.ratings.len(), false);
        let meter = Meter::new(control, total);
        let mut values = vec![0.0; (n * n.saturating_sub(1) / 2) as usize];
        pages::advise(&values);
        let mut rest = values.as_mut_slice();
        let part = |rows: &Range<u32>| {
            let (part, later) =
                core::mem::take(&mut rest).split_at_mut(rows.clone().map(row_len).sum());
            rest = later;
            Mutex::new(part)
        };
        let parts: Vec<Mutex<&mut [f64]>> = chunks.iter().map(part).collect();
        let spare = Spare::<Scratches>::new();
        par.try_map(chunks.len(), |chunk| {
            let mut ticker = Ticker::new(&meter);
            let mut scratches = spare.take();
            let mut part = parts[chunk].lock().unwrap_or_else(PoisonError::into_inner);
            let mut rest = &mut **part;
            for a in chunks[chunk].clone() {
                let (row, later) = rest.split_at_mut(row_len(a));
                rest = later;
                if keep.unsupported() != 0.0 {
                    row.fill(keep.unsupported());
                }
                let sink = &mut |lanes: &Lanes, ids: Ids<'_>, len: usize| {
                    keep.write(lanes, ids, len, a + 1, row);
                };
                self.row_into(&mut scratches, a, false, &mut ticker, sink)?;
            }
            spare.give(scratches);
            ticker.flush()
        })?;
        drop(parts);
        Ok(values)
    }

    fn best_pairs(
        &self,
        limit: usize,
        par: Par,
        control: &impl Control,
    ) -> Result<Vec<Pair>, SimilarityError> {
        let keep = Keep::new(&self.options);
        let compare = |p: &Pair, q: &Pair| order::compare(keep.ascending, p, q);
        let (chunks, total) = self.plan(0..self.ratings.len(), false);
        let meter = Meter::new(control, total);
        let overall = Mutex::new(Best::new(limit, compare));
        let spare = Spare::<Scratches>::new();
        par.try_map(chunks.len(), |chunk| {
            let mut ticker = Ticker::new(&meter);
            let mut scratches = spare.take();
            let mut best = Best::new(limit, compare);
            for a in chunks[chunk].clone() {
                self.row_into(
                    &mut scratches,
                    a,
                    false,
                    &mut ticker,
                    &mut |lanes, ids, len| {
                        offer_pairs(&mut best, &keep, a, (lanes, ids, len));
                    },
                )?;
            }
            spare.give(scratches);
            // The order is total, so the best of the bests do not depend on who comes first.
            let mut overall = overall.lock().unwrap_or_else(PoisonError::into_inner);
            best.into_kept()
                .into_iter()
                .for_each(|pair| overall.push(pair));
            ticker.flush()
        })?;
        let best = overall.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(best.into_sorted())
    }

    /// The `k` most similar entities of each queried one (all, if `None`), in the order of the
    /// queries, each list best first and then by index. Without queries each pair is worked once.
    /// Memory: 16 bytes a neighbor and 48 a list; without queries also up to 64 MiB for columns of
    /// popular items, and about 0.5 MiB a thread.
    ///
    /// # Errors
    /// [`SimilarityError::UnknownEntity`]; [`SimilarityError::TooManyPairs`] when the lists together
    /// exceed [`Options::max_pairs`]; [`SimilarityError::Stopped`].
    pub fn top_k(
        &self,
        k: usize,
        queries: Option<&[u32]>,
        par: Par,
        control: &impl Control,
    ) -> Result<Vec<Vec<Neighbor>>, SimilarityError> {
        let all: Vec<u32>;
        let queries = match queries {
            Some(queries) => queries,
            None if EACH_PAIR_ONCE => return self.top_k_of_all(k, par, control),
            None => {
                all = (0..self.ratings.len()).collect();
                &all
            }
        };
        for &query in queries {
            self.check_entity(query)?;
        }
        let keep = Keep::new(&self.options);
        let (chunks, total) = self.plan(queries.iter().copied(), true);
        let meter = Meter::new(control, total);
        let count = AtomicUsize::new(0);
        let max = self.options.max_pairs;
        let spare = Spare::<Scratches>::new();
        let parts = par.try_map(chunks.len(), |chunk| {
            let mut ticker = Ticker::new(&meter);
            let mut scratches = spare.take();
            let mut lists = Vec::new();
            for i in chunks[chunk].clone() {
                let a = queries[i as usize];
                let compare = |p: &Neighbor, q: &Neighbor| compare_neighbors(keep.ascending, p, q);
                let mut best = Best::new(k, compare);
                self.row_into(
                    &mut scratches,
                    a,
                    true,
                    &mut ticker,
                    &mut |lanes, ids, len| {
                        offer_neighbors(&mut best, &keep, a, (lanes, ids, len));
                    },
                )?;
                let mut list = best.into_sorted();
                list.shrink_to_fit();
                let before = count.fetch_add(list.len(), core::sync::atomic::Ordering::Relaxed);
                if before + list.len() > max {
                    return Err(SimilarityError::TooManyPairs { max });
                }
                lists.push(list);
            }
            spare.give(scratches);
            ticker.flush()?;
            Ok(lists)
        })?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// The value of `a` with every entity, itself included, by index. Where fewer than
    /// [`Options::min_common`] items are co-rated it is 0, or infinity for a distance;
    /// [`Options::min_similarity`] does not apply.
    ///
    /// # Errors
    /// [`SimilarityError::UnknownEntity`], [`SimilarityError::Stopped`].
    pub fn row(&self, a: u32, control: &impl Control) -> Result<Vec<f64>, SimilarityError> {
        self.check_entity(a)?;
        let keep = Keep::new(&self.options);
        let unsupported = keep.unsupported();
        let mut values = vec![unsupported; self.ratings.len() as usize];
        let meter = Meter::new(control, self.work(a, true));
        let mut ticker = Ticker::new(&meter);
        let mut scratches = Scratches::default();
        self.row_into(
            &mut scratches,
            a,
            true,
            &mut ticker,
            &mut |lanes, ids, len| {
                keep.write(lanes, ids, len, 0, &mut values);
            },
        )?;
        Ok(values)
    }

    /// One pair, the same bits as in any list; `None` if too few items are co-rated.
    /// [`Options::min_similarity`] does not apply. O(length of both rows).
    ///
    /// # Errors
    /// [`SimilarityError::UnknownEntity`].
    pub fn pair(&self, a: u32, b: u32) -> Result<Option<Pair>, SimilarityError> {
        self.check_entity(a)?;
        self.check_entity(b)?;
        let (a, b) = (a.min(b), a.max(b));
        Ok(match self.kernel.row_kind(self.ratings.range(a).len()) {
            RowKind::Narrow(kind) => self.pair_of(&kind, a, b),
            RowKind::Wide(kind) => self.pair_of(&kind, a, b),
            RowKind::Float(floats) => self.pair_of(floats, a, b),
        })
    }

    fn pair_of<K: Kind>(&self, kind: &K, a: u32, b: u32) -> Option<Pair> {
        let mut slot = K::ZERO;
        for_each_common(self.ratings, a, b, |i, j| {
            kind.add_one(i, self.inverted.positions[j] as usize, &mut slot);
        });
        let mut lanes = Lanes::new();
        let ids = Ids {
            first: b,
            list: None,
        };
        let mut pair = None;
        let keep = Keep::new(&self.options);
        self.walk()
            .finish(kind, &[slot], &mut lanes, a, ids, &mut |lanes, _, _| {
                pair = keep.has_support(lanes.sums[N][0]).then(|| Pair {
                    a,
                    b,
                    similarity: lanes.values[0],
                    common: lanes.sums[N][0] as u32,
                });
            });
        pair
    }

    fn check_entity(&self, entity: u32) -> Result<(), SimilarityError> {
        let entities = self.ratings.len();
        if entity < entities {
            Ok(())
        } else {
            Err(SimilarityError::UnknownEntity { entity, entities })
        }
    }

    /// Additions for one row, and what they lead to.
    fn work(&self, a: u32, whole: bool) -> u64 {
        let pairs = u64::from(self.ratings.len() - if whole { 0 } else { a + 1 });
        self.inverted.work(self.ratings, a, whole) + pairs / 2 + 1
    }

    /// Cuts the rows (by position in `rows`) into chunks of about equal work; also all the work.
    /// The cut depends on nothing but the ratings.
    fn plan(&self, rows: impl Iterator<Item = u32>, whole: bool) -> (Vec<Range<u32>>, u64) {
        cut(rows.map(|a| self.work(a, whole)))
    }
}
