//! The measures, as formulas over the sums of one pair's co-rated items.

use serde::{Deserialize, Serialize};

/// How alike two entities are. x and y are their ratings of the n items that both rated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Measure {
    /// Pearson correlation, -1..1, means over the co-rated items only (as scikit-surprise):
    /// `(n Σxy - Σx Σy) / sqrt((n Σx² - (Σx)²)(n Σy² - (Σy)²))`; 0 when a variance is 0.
    Pearson,
    /// Cosine over the co-rated items only, -1..1: `Σxy / sqrt(Σx² Σy²)`; 0 when a norm is 0.
    Cosine,
    /// Cosine of the whole rows, where unrated counts as 0, -1..1; 0 when a norm is 0.
    CosineZeroFilled,
    /// Shared items over all items of both, 0..1, whatever the ratings.
    Jaccard,
    /// `1 / (1 + distance)`, above 0 up to 1, with the distance below.
    Euclidean,
    /// `sqrt(Σ(x - y)²)` over the co-rated items, 0 and up: the smaller the more alike, and results
    /// come in ascending order.
    EuclideanDistance,
}

impl Measure {
    /// The default of [`super::Options::min_common`]: 3 for Pearson (over two items it is always
    /// -1, 0 or 1), 1 for the others.
    #[must_use]
    pub fn min_common_default(self) -> u32 {
        match self {
            Self::Pearson => 3,
            _ => 1,
        }
    }

    /// Whether smaller values come first.
    #[must_use]
    pub fn is_ascending(self) -> bool {
        self == Self::EuclideanDistance
    }

    /// Which of the sums the formula reads.
    pub(super) fn fields(self) -> &'static [usize] {
        match self {
            Self::Pearson => &[N, SX, SY, SXX, SYY, SXY],
            Self::Cosine => &[N, SXX, SYY, SXY],
            Self::CosineZeroFilled => &[N, SXY],
            Self::Jaccard => &[N],
            Self::Euclidean | Self::EuclideanDistance => &[N, SDD],
        }
    }

    /// Whether adding a constant to all ratings changes nothing.
    pub(super) fn is_shift_invariant(self) -> bool {
        !matches!(self, Self::Cosine | Self::CosineZeroFilled)
    }
}

/// n: items that both rated.
pub(super) const N: usize = 0;
/// Σx.
pub(super) const SX: usize = 1;
/// Σy.
pub(super) const SY: usize = 2;
/// Σx².
pub(super) const SXX: usize = 3;
/// Σy².
pub(super) const SYY: usize = 4;
/// Σxy.
pub(super) const SXY: usize = 5;
/// Σ(x - y)², in the place of Σxy, which no distance reads.
pub(super) const SDD: usize = 5;
/// Sums of a pair.
pub(super) const FIELDS: usize = 6;

/// Pairs that are evaluated together: their arrays (17 KiB) stay in the first-level cache.
pub(super) const LANES: usize = 256;

/// The sums of up to [`LANES`] pairs of one entity, and what became of them.
pub(super) struct Lanes {
    /// By field, then by pair.
    pub(super) sums: [[f64; LANES]; FIELDS],
    /// The other entity's squared norm ([`Measure::CosineZeroFilled`]) or its count of ratings
    /// ([`Measure::Jaccard`]).
    pub(super) other: [f64; LANES],
    /// The results.
    pub(super) values: [f64; LANES],
}

impl Lanes {
    pub(super) fn new() -> Self {
        Self {
            sums: [[0.0; LANES]; FIELDS],
            other: [0.0; LANES],
            values: [0.0; LANES],
        }
    }
}

/// Beside the sums: what the formulas need of the entity that all pairs share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own {
    /// Its squared norm or count of ratings, as [`Lanes::other`].
    pub(super) side: f64,
    /// Length of one unit of the sums, in rating points (distances only).
    pub(super) step: f64,
}

/// Evaluates the first `len` lanes. Inlined into functions with more instructions enabled.
#[inline(always)]
pub(super) fn evaluate(measure: Measure, lanes: &mut Lanes, len: usize, own: Own) {
    let Lanes {
        sums,
        other,
        values,
    } = lanes;
    let len = len.min(LANES);
    match measure {
        Measure::Pearson => {
            for i in 0..len {
                values[i] = pearson(
                    sums[N][i],
                    sums[SX][i],
                    sums[SY][i],
                    sums[SXX][i],
                    sums[SYY][i],
                    sums[SXY][i],
                );
            }
        }
        Measure::Cosine => {
            for i in 0..len {
                values[i] = cosine(sums[SXY][i], sums[SXX][i], sums[SYY][i]);
            }
        }
        Measure::CosineZeroFilled => {
            for i in 0..len {
                values[i] = cosine(sums[SXY][i], own.side, other[i]);
            }
        }
        Measure::Jaccard => {
            for i in 0..len {
                let union = own.side + other[i] - sums[N][i];
                values[i] = if union > 0.0 { sums[N][i] / union } else { 0.0 };
            }
        }
        Measure::Euclidean => {
            for i in 0..len {
                values[i] = 1.0 / (1.0 + own.step * sums[SDD][i].sqrt());
            }
        }
        Measure::EuclideanDistance => {
            for i in 0..len {
                values[i] = own.step * sums[SDD][i].sqrt();
            }
        }
    }
}

/// See [`Measure::Pearson`]. Integer sums below 2^26 give exact variances, so that zero is zero.
#[inline(always)]
fn pearson(n: f64, sx: f64, sy: f64, sxx: f64, syy: f64, sxy: f64) -> f64 {
    let covariance = n * sxy - sx * sy;
    let variances = (n * sxx - sx * sx) * (n * syy - sy * sy);
    let value = covariance / variances.sqrt();
    let value = if value > 1.0 { 1.0 } else { value };
    let value = if value < -1.0 { -1.0 } else { value };
    if variances > 0.0 { value } else { 0.0 }
}

/// See [`Measure::Cosine`].
#[inline(always)]
fn cosine(dot: f64, xx: f64, yy: f64) -> f64 {
    let squares = xx * yy;
    let value = dot / squares.sqrt();
    let value = if value > 1.0 { 1.0 } else { value };
    let value = if value < -1.0 { -1.0 } else { value };
    if squares > 0.0 { value } else { 0.0 }
}
