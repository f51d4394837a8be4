//! The sums of a row of few terms, in the order of their columns all along.

/// A row of at most this many terms is summed here.
pub(super) const FEW: usize = 16;

/// Sums by column, ascending.
pub(super) struct FewSums {
    len: usize,
    cols: [u32; FEW],
    sums: [f64; FEW],
}

impl FewSums {
    pub(super) fn new() -> Self {
        Self {
            len: 0,
            cols: [0; FEW],
            sums: [0.0; FEW],
        }
    }

    /// Adds `factor * values[i]` to column `cols[i]`, for each `i`. Columns beyond [`FEW`] are left
    /// out.
    #[inline]
    pub(super) fn add(&mut self, cols: &[u32], values: &[f64], factor: f64) {
        for (&col, &value) in cols.iter().zip(values) {
            self.add_one(col, factor * value);
        }
    }

    #[inline(always)]
    fn add_one(&mut self, col: u32, term: f64) {
        // Counting looks at all and has no branch to guess, other than searching.
        let before: u32 = self.cols[..self.len]
            .iter()
            .map(|&c| u32::from(c < col))
            .sum();
        let at = before as usize;
        if at < self.len && self.cols[at] == col {
            self.sums[at] += term;
        } else if self.len < FEW {
            // Few: a loop takes less time than two calls.
            for i in (at..self.len).rev() {
                (self.cols[i + 1], self.sums[i + 1]) = (self.cols[i], self.sums[i]);
            }
            (self.cols[at], self.sums[at]) = (col, term);
            self.len += 1;
        }
    }

    /// Gives every sum, columns ascending, and is empty again.
    #[inline]
    pub(super) fn drain(&mut self, mut take: impl FnMut(u32, f64)) {
        let len = std::mem::take(&mut self.len);
        for (&col, &sum) in self.cols[..len].iter().zip(&self.sums) {
            take(col, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::matrix::row_sums::RowSums;

    proptest! {
        #[test]
        fn few_sums_are_those_of_many(
            rows in prop::collection::vec(prop::collection::vec((0u32..20, -4i8..4), 0..=FEW), 1..4),
        ) {
            let (mut few, mut many) = (FewSums::new(), RowSums::new(20));
            for terms in rows {
                let mut totals = [Vec::new(), Vec::new()];
                for (col, term) in terms {
                    few.add(&[col], &[f64::from(term)], 0.5);
                    many.add(&[col], &[f64::from(term)], 0.5);
                }
                few.drain(|c, s| totals[0].push((c, s)));
                many.drain(|c, s| totals[1].push((c, s)));
                prop_assert_eq!(&totals[0], &totals[1]);
            }
        }
    }
}
