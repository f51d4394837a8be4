//! The sums of one row of a sparse product, by column.

/// Up to this many columns a row is summed in place (8 bytes a column and thread); above it by
/// sorting its terms.
const DENSE_COLS: usize = 1 << 20;

/// Adds terms in any order of columns and gives the sums in ascending order.
pub(super) enum RowSums {
    /// A place a column.
    Dense(Dense),
    /// Every term.
    Sorted(Vec<(u32, f64)>),
}

/// Which places are used is kept as bits, and which words of bits are not 0 as bits again: reading
/// them gives the columns in order, without sorting.
pub(super) struct Dense {
    sums: Vec<f64>,
    used: Vec<u64>,
    words: Vec<u64>,
}

impl RowSums {
    pub(super) fn new(cols: usize) -> Self {
        if cols > DENSE_COLS {
            return Self::Sorted(Vec::new());
        }
        let used = cols.div_ceil(64);
        Self::Dense(Dense {
            sums: vec![0.0; cols],
            used: vec![0; used],
            words: vec![0; used.div_ceil(64)],
        })
    }

    /// Adds `factor * values[i]` to column `cols[i]`, for each `i`; columns of the row's width.
    #[inline]
    pub(super) fn add(&mut self, cols: &[u32], values: &[f64], factor: f64) {
        let terms = cols.iter().zip(values).map(|(&c, &v)| (c, factor * v));
        match self {
            Self::Sorted(all) => all.extend(terms),
            Self::Dense(dense) => terms.for_each(|(col, term)| dense.add(col as usize, term)),
        }
    }

    /// Gives every sum, columns ascending, and is empty again.
    pub(super) fn drain(&mut self, mut take: impl FnMut(u32, f64)) {
        match self {
            Self::Sorted(terms) => {
                // Stable: the terms of a column are added in the order they came.
                terms.sort_by_key(|t| t.0);
                for terms in terms.chunk_by(|a, b| a.0 == b.0) {
                    take(terms[0].0, terms.iter().map(|t| t.1).sum());
                }
                terms.clear();
            }
            Self::Dense(dense) => dense.drain(take),
        }
    }
}

impl Dense {
    #[inline(always)]
    fn add(&mut self, at: usize, term: f64) {
        self.sums[at] += term;
        // Without a branch: whether the word was 0 cannot be foreseen.
        self.words[at / 4096] |= 1 << (at / 64 % 64);
        self.used[at / 64] |= 1 << (at % 64);
    }

    fn drain(&mut self, mut take: impl FnMut(u32, f64)) {
        for (index, words) in self.words.iter_mut().enumerate() {
            for word in bits(std::mem::take(words)) {
                let word = index * 64 + word;
                for bit in bits(std::mem::take(&mut self.used[word])) {
                    let col = word * 64 + bit;
                    // At most DENSE_COLS columns: fits.
                    take(col as u32, std::mem::take(&mut self.sums[col]));
                }
            }
        }
    }
}

/// The numbers of the bits that are 1, ascending.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        (word != 0).then(|| {
            word &= word - 1;
            bit
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sorted_and_dense_sums_are_the_same(
            terms in prop::collection::vec((0u32..9000, -4i8..4), 0..200),
            more in prop::collection::vec((0u32..9000, -4i8..4), 0..200),
        ) {
            let mut sorted = RowSums::Sorted(Vec::new());
            let mut dense = RowSums::new(9000);
            // Twice: the first row must leave nothing behind.
            for terms in [terms, more] {
                let mut totals = [Vec::new(), Vec::new()];
                for (col, term) in terms {
                    sorted.add(&[col], &[f64::from(term)], 0.5);
                    dense.add(&[col], &[f64::from(term)], 0.5);
                }
                sorted.drain(|c, s| totals[0].push((c, s)));
                dense.drain(|c, s| totals[1].push((c, s)));
                prop_assert_eq!(&totals[0], &totals[1]);
            }
        }
    }
}
