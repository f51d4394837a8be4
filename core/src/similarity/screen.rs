//! Tells, without a root or a division, which pairs cannot get into either list. A pair that
//! passes is evaluated exactly; the margins are far above what the products here may be rounded by,
//! so that none is lost.

use super::{
    Measure, Options,
    measure::{FIELDS, LANES, N, Own, SDD, SX, SXX, SXY, SY, SYY},
};

/// Margin of a bar, relative for distances and absolute for the others (whose bars are in -1..=1).
const MARGIN: f64 = 1e-9;

/// The bars of a measure: numbers that its sums can be compared with, the larger the harder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    measure: Measure,
    step: f64,
    min_similarity: f64,
    min_common: f64,
    /// Whether values are corrected after their evaluation: then only counts are screened.
    counts_only: bool,
}

impl Screen {
    pub(super) fn new(options: &Options, step: f64, counts_only: bool) -> Self {
        Self {
            measure: options.measure,
            step,
            min_similarity: options.min_similarity,
            min_common: f64::from(options.min_common.max(1)),
            counts_only,
        }
    }

    /// What the sums must reach for a value of that rank ([`super::lists::Lists::bar`]).
    pub(super) fn bar(&self, rank: f64) -> f64 {
        let distance_of = |similarity: f64| {
            if similarity > 0.0 {
                1.0 / similarity - 1.0
            } else {
                f64::INFINITY
            }
        };
        let reach = |distance: f64| {
            let steps = distance.max(0.0) / self.step;
            -(steps * steps * (1.0 + MARGIN) + MARGIN)
        };
        match self.measure {
            Measure::Pearson | Measure::Cosine | Measure::CosineZeroFilled => {
                let value = self.min_similarity.max(-rank);
                value * value.abs() - MARGIN
            }
            Measure::Jaccard => self.min_similarity.max(-rank) - MARGIN,
            Measure::Euclidean => reach(distance_of(self.min_similarity.max(-rank))),
            Measure::EuclideanDistance => reach(distance_of(self.min_similarity).min(rank)),
        }
    }

    /// Sets the flags of the lanes whose pair may get into the list of the row, with its `bar`, or
    /// into that of the other entity, with its own; gives whether any is set.
    #[inline(always)]
    pub(super) fn pass(
        &self,
        sums: &[[f64; LANES]; FIELDS],
        (own, others): (Own, &[f64]),
        (bar, bars): (f64, &[f64]),
        flags: &mut [u8; LANES],
    ) -> bool {
        let min_common = self.min_common;
        let len = bars.len().min(LANES);
        let mut any = 0;
        // A bar times what the value is divided by; what is not a number passes.
        macro_rules! flag {
            ($i:ident, $reached:expr, $divisor:expr) => {
                for $i in 0..len {
                    let bar = if bars[$i] < bar { bars[$i] } else { bar };
                    let below = $reached < bar * $divisor;
                    let flag = u8::from(!below & (sums[N][$i] >= min_common));
                    flags[$i] = flag;
                    any |= flag;
                }
            };
        }
        match self.measure {
            _ if self.counts_only => flag!(i, 0.0, f64::NAN),
            Measure::Pearson => flag!(
                i,
                signed_square(sums[N][i] * sums[SXY][i] - sums[SX][i] * sums[SY][i]),
                (sums[N][i] * sums[SXX][i] - sums[SX][i] * sums[SX][i])
                    * (sums[N][i] * sums[SYY][i] - sums[SY][i] * sums[SY][i])
            ),
            Measure::Cosine => flag!(i, signed_square(sums[SXY][i]), sums[SXX][i] * sums[SYY][i]),
            Measure::CosineZeroFilled => {
                let others = &others[..len];
                flag!(i, signed_square(sums[SXY][i]), own.side * others[i]);
            }
            Measure::Jaccard => {
                let others = &others[..len];
                flag!(i, sums[N][i], own.side + others[i] - sums[N][i]);
            }
            Measure::Euclidean | Measure::EuclideanDistance => flag!(i, -sums[SDD][i], 1.0),
        }
        any != 0
    }
}

#[inline(always)]
fn signed_square(value: f64) -> f64 {
    value * value.abs()
}
