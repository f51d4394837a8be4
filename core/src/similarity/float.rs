//! The path for any ratings: sums in f64. Pearson reads ratings less their row's mean, which keeps
//! the sums small; pairs whose variance is still small against the sum of squares (what is lost by
//! subtraction would show) are computed again in two passes over their co-rated items.

use core::ops::Range;

use super::{
    inverted::{BLOCK, Ids, Inverted, Kind},
    measure::{FIELDS, LANES, Lanes, Measure, N, SX, SXX, SY, SYY},
    ratings::Ratings,
};

/// Below this share of the sum of squares a variance is computed again: the sums then keep at least
/// eleven of f64's sixteen digits.
const VARIANCE_SHARE_MIN: f64 = 1e-5;

/// Ratings as the sums take them, by row and by list.
pub(super) struct Floats<'a> {
    ratings: &'a Ratings,
    measure: Measure,
    own: Vec<f64>,
    lists: Vec<(u32, f64)>,
}

impl<'a> Floats<'a> {
    /// O(ratings), 24 bytes a rating.
    pub(super) fn new(ratings: &'a Ratings, inverted: &Inverted, measure: Measure) -> Self {
        let mut own: Vec<f64> = ratings.values().iter().map(|&v| f64::from(v)).collect();
        if measure == Measure::Pearson {
            for a in 0..ratings.len() {
                let row = &mut own[ratings.range(a)];
                let mean = row.iter().sum::<f64>() / row.len().max(1) as f64;
                row.iter_mut().for_each(|v| *v -= mean);
            }
        }
        let mut lists = vec![(0, 0.0); own.len()];
        for (&value, &position) in own.iter().zip(&inverted.positions) {
            let position = position as usize;
            lists[position] = (inverted.entities[position], value);
        }
        Self {
            ratings,
            measure,
            own,
            lists,
        }
    }

    fn is_distance(&self) -> bool {
        matches!(
            self.measure,
            Measure::Euclidean | Measure::EuclideanDistance
        )
    }
}

/// Adds one co-rated item.
#[inline(always)]
fn add<const DISTANCE: bool>(slot: &mut [f64; FIELDS], x: f64, y: f64) {
    let last = if DISTANCE { (x - y) * (x - y) } else { x * y };
    let terms = [1.0, x, y, x * x, y * y, last];
    for (sum, term) in slot.iter_mut().zip(terms) {
        *sum += term;
    }
}

fn add_list<const DISTANCE: bool>(slots: &mut [[f64; FIELDS]; BLOCK], x: f64, list: &[(u32, f64)]) {
    for &(b, y) in list {
        add::<DISTANCE>(&mut slots[b as usize % BLOCK], x, y);
    }
}

impl Kind for Floats<'_> {
    type Slot = [f64; FIELDS];
    const ZERO: [f64; FIELDS] = [0.0; FIELDS];

    fn is_zero(slot: &[f64; FIELDS]) -> bool {
        slot[N] == 0.0
    }

    fn add_one(&self, own: usize, position: usize, slot: &mut [f64; FIELDS]) {
        let (x, y) = (self.own[own], self.lists[position].1);
        if self.is_distance() {
            add::<true>(slot, x, y);
        } else {
            add::<false>(slot, x, y);
        }
    }

    fn add(&self, own: usize, list: Range<usize>, slots: &mut [[f64; FIELDS]; BLOCK]) {
        if self.is_distance() {
            add_list::<true>(slots, self.own[own], &self.lists[list]);
        } else {
            add_list::<false>(slots, self.own[own], &self.lists[list]);
        }
    }

    fn add_below(
        &self,
        own: usize,
        list: Range<usize>,
        end: u32,
        slots: &mut [[f64; FIELDS]; BLOCK],
    ) -> usize {
        let len = self.lists[list.clone()].partition_point(|&(b, _)| b < end);
        self.add(own, list.start..list.start + len, slots);
        len
    }

    #[inline(always)]
    fn unpack(&self, slots: &[[f64; FIELDS]], sums: &mut [[f64; LANES]; FIELDS]) {
        for (field, sums) in sums.iter_mut().enumerate() {
            for (sum, slot) in sums.iter_mut().zip(slots) {
                *sum = slot[field];
            }
        }
    }

    fn refine(&self, a: u32, ids: &Ids<'_>, lanes: &mut Lanes, len: usize) {
        if self.measure != Measure::Pearson {
            return;
        }
        for lane in 0..len {
            let [n, sx, sy, sxx, syy] = [N, SX, SY, SXX, SYY].map(|field| lanes.sums[field][lane]);
            let clear = |s: f64, ss: f64| n * ss - s * s > VARIANCE_SHARE_MIN * n * ss;
            if n > 0.0 && !(clear(sx, sxx) && clear(sy, syy)) {
                lanes.values[lane] = pearson_in_two_passes(self.ratings, a, ids.get(lane));
            }
        }
    }
}

/// Calls `f` with the positions (among all ratings) of each item that both rated.
pub(super) fn for_each_common(ratings: &Ratings, a: u32, b: u32, mut f: impl FnMut(usize, usize)) {
    let columns = ratings.columns();
    let (mut rest_a, mut rest_b) = (ratings.range(a), ratings.range(b));
    while !rest_a.is_empty() && !rest_b.is_empty() {
        match columns[rest_a.start].cmp(&columns[rest_b.start]) {
            core::cmp::Ordering::Less => rest_a.start += 1,
            core::cmp::Ordering::Greater => rest_b.start += 1,
            core::cmp::Ordering::Equal => {
                f(rest_a.start, rest_b.start);
                rest_a.start += 1;
                rest_b.start += 1;
            }
        }
    }
}

/// Pearson by deviations from the means; constant ratings are found by comparison, so that they
/// give 0 even where their mean is rounded. O(length of both rows).
fn pearson_in_two_passes(ratings: &Ratings, a: u32, b: u32) -> f64 {
    let mut common = Vec::new();
    for_each_common(ratings, a, b, |i, j| {
        let [x, y] = [i, j].map(|k| f64::from(ratings.values()[k]));
        common.push((x, y));
    });
    let Some(&(x0, y0)) = common.first() else {
        return 0.0;
    };
    if common.iter().all(|&(x, _)| x == x0) || common.iter().all(|&(_, y)| y == y0) {
        return 0.0;
    }
    let n = common.len() as f64;
    // Differences from a rating of the pair itself first: ratings far from zero lose nothing.
    let mean = |d: &dyn Fn(&(f64, f64)) -> f64| common.iter().map(d).sum::<f64>() / n;
    let (mx, my) = (mean(&|p| p.0 - x0), mean(&|p| p.1 - y0));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for &(x, y) in &common {
        let (dx, dy) = (x - x0 - mx, y - y0 - my);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    if xx > 0.0 && yy > 0.0 {
        (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0)
    } else {
        0.0
    }
}
