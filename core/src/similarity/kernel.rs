//! How the sums of a measure are kept over its ratings, and the walk that each way takes.

use super::{
    Measure, Ratings, Similarity,
    dense::{self, Dense},
    float::Floats,
    inverted::{Ids, Inverted, Scratch, Walk},
    measure::{FIELDS, Lanes},
    meter::Ticker,
    packed::{CodedLists, Packed, PackedWalk, narrow_common},
};
use crate::control::{Control, Stopped};

/// How the sums are kept.
pub(super) enum Kernel<'a> {
    Packed {
        lists: CodedLists,
        narrow: Box<Packed<1>>,
        /// Longest row whose sums fit in one word.
        narrow_len: usize,
        wide: Option<Box<Packed<2>>>,
        dense: Option<Dense>,
        code_max: u8,
    },
    Float(Floats<'a>),
}

/// How the sums of one row are kept.
pub(super) enum RowKind<'a> {
    /// In one word.
    Narrow(PackedWalk<'a, 1>),
    /// In two.
    Wide(PackedWalk<'a, 2>),
    Float(&'a Floats<'a>),
}

impl Kernel<'_> {
    /// Of the whole rows, in the units of the sums.
    pub(super) fn squared_norms(&self, ratings: &Ratings) -> Vec<f64> {
        let norms = |unit: &dyn Fn(usize) -> f64| {
            let norm = |a| ratings.range(a).map(unit).map(|v| v * v).sum();
            (0..ratings.len()).map(norm).collect()
        };
        match self {
            Self::Packed { lists, .. } => norms(&|i| f64::from(lists.own[i])),
            Self::Float(_) => norms(&|i| f64::from(ratings.values()[i])),
        }
    }

    /// For a row of so many ratings.
    pub(super) fn row_kind(&self, len: usize) -> RowKind<'_> {
        match self {
            Self::Packed {
                lists,
                narrow,
                narrow_len,
                wide,
                ..
            } => match wide {
                Some(packed) if len > *narrow_len => RowKind::Wide(PackedWalk { packed, lists }),
                _ => RowKind::Narrow(PackedWalk {
                    packed: narrow,
                    lists,
                }),
            },
            Self::Float(floats) => RowKind::Float(floats),
        }
    }
}

/// Working memory of one thread, made when first needed.
#[derive(Default)]
pub(super) struct Scratches {
    narrow: Option<Scratch<[u64; 1]>>,
    wide: Option<Scratch<[u64; 2]>>,
    float: Option<Scratch<[f64; FIELDS]>>,
}

impl Scratches {
    pub(super) fn narrow(&mut self) -> &mut Scratch<[u64; 1]> {
        self.narrow.get_or_insert_with(|| Scratch::new([0; 1]))
    }

    pub(super) fn wide(&mut self) -> &mut Scratch<[u64; 2]> {
        self.wide.get_or_insert_with(|| Scratch::new([0; 2]))
    }

    pub(super) fn float(&mut self) -> &mut Scratch<[f64; FIELDS]> {
        self.float
            .get_or_insert_with(|| Scratch::new([0.0; FIELDS]))
    }
}

impl Similarity<'_> {
    /// What a walk over a row reads.
    pub(super) fn walk(&self) -> Walk<'_> {
        let dense = match &self.kernel {
            Kernel::Packed { lists, dense, .. } => {
                dense.as_ref().map(|dense| (dense, lists.own.as_slice()))
            }
            Kernel::Float(_) => None,
        };
        Walk {
            ratings: self.ratings,
            inverted: &self.inverted,
            measure: self.options.measure,
            sides: &self.sides,
            step: self.step,
            dense,
        }
    }

    /// Gives `sink` the pairs of row `a`; see [`Walk::row`].
    pub(super) fn row_into<C: Control>(
        &self,
        scratches: &mut Scratches,
        a: u32,
        whole: bool,
        ticker: &mut Ticker<'_, C>,
        sink: &mut impl FnMut(&Lanes, Ids<'_>, usize),
    ) -> Result<(), Stopped> {
        let walk = self.walk();
        match self.kernel.row_kind(self.ratings.range(a).len()) {
            RowKind::Narrow(kind) => walk.row(&kind, scratches.narrow(), a, whole, ticker, sink),
            RowKind::Wide(kind) => walk.row(&kind, scratches.wide(), a, whole, ticker, sink),
            RowKind::Float(floats) => walk.row(floats, scratches.float(), a, whole, ticker, sink),
        }
    }
}

/// Integer sums for the codes, unless they could overflow.
pub(super) fn packed_kernel<'a>(
    measure: Measure,
    common: u64,
    codes: Vec<u8>,
    code_max: u8,
    ratings: &Ratings,
    inverted: &Inverted,
) -> Option<Kernel<'a>> {
    let fields = measure.fields();
    let distance = matches!(measure, Measure::Euclidean | Measure::EuclideanDistance);
    let narrow_len = narrow_common(fields, common, code_max);
    let narrow = Box::new(Packed::new(fields, distance, narrow_len, code_max)?);
    let wide = if narrow_len < common {
        Some(Box::new(Packed::new(fields, distance, common, code_max)?))
    } else {
        None
    };
    let row = |a| (ratings.range(a).len(), inverted.work(ratings, a, true));
    let pays = |a| dense::pays(row(a).0, ratings.len().into(), row(a).1);
    let dense = if (0..ratings.len()).any(pays) {
        Dense::new(ratings, &codes, code_max)
    } else {
        None
    };
    Some(Kernel::Packed {
        lists: CodedLists::new(codes, ratings.len(), inverted)?,
        narrow,
        narrow_len: narrow_len as usize,
        wide,
        dense,
        code_max,
    })
}
