//! [`SparseMatrix`]: sparse and mutable.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{Csr, Matrix, MatrixError};

/// Changes wait in the overlay until there are more than this many and than 1/16 of the entries.
const OVERLAY: usize = 256;

/// A sparse matrix that is written one element at a time.
///
/// Entries live in a [`Csr`]; changes gather in a hash map and are merged when they exceed a
/// sixteenth of the entries. So `get` costs O(log) and no more, `set` O(1) and a share of the
/// merges (some 16 moved entries a set), and memory is 12 bytes an entry, 8 a non-empty row and
/// at most some 3 bytes an entry of overlay ([`SparseMatrix::compact`] drops it). During a merge
/// old and new exist together. An element equal to the default is not kept.
///
/// ```
/// use sommos_core::matrix::SparseMatrix;
/// let mut m = SparseMatrix::new(1000, 1000, 0.0, 10_000)?;
/// m.set(3, 4, 2.5)?;
/// assert_eq!((m.get(3, 4)?, m.get(4, 3)?, m.size()), (2.5, 0.0, 1));
/// # Ok::<(), sommos_core::matrix::MatrixError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SparseMatrix {
    base: Csr,
    /// By row and column; a value equal to the default removes the entry.
    overlay: HashMap<u64, f64, FixedState>,
    default: f64,
    limit: usize,
    size: usize,
}

impl SparseMatrix {
    /// Every element is `default`; at most `limit` others.
    ///
    /// # Errors
    /// [`MatrixError::Empty`], [`MatrixError::DimensionTooLarge`], [`MatrixError::NonFinite`] for
    /// the default.
    pub fn new(rows: usize, cols: usize, default: f64, limit: usize) -> Result<Self, MatrixError> {
        if !default.is_finite() {
            return Err(MatrixError::NonFinite { row: 0, col: 0 });
        }
        Ok(Self {
            base: Csr::new(rows, cols)?,
            overlay: HashMap::default(),
            default,
            limit: limit.min(u32::MAX as usize),
            size: 0,
        })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.base.rows()
    }

    /// Number of columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.base.cols()
    }

    /// What an element is unless set.
    #[must_use]
    pub fn default_value(&self) -> f64 {
        self.default
    }

    /// Elements that differ from the default.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Bytes of the heap, as allocated, and of the struct.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        size_of::<Self>() - size_of::<Csr>()
            + self.base.memory_usage()
            + self.overlay.allocation_size()
    }

    /// The element there.
    ///
    /// # Errors
    /// [`MatrixError::OutOfRange`].
    pub fn get(&self, row: usize, col: usize) -> Result<f64, MatrixError> {
        let key = self.base.key(row, col)?;
        Ok(self.at(key, row, col))
    }

    fn at(&self, key: u64, row: usize, col: usize) -> f64 {
        let changed = if self.overlay.is_empty() {
            None
        } else {
            self.overlay.get(&key).copied()
        };
        changed
            .or_else(|| self.base.get(row, col))
            .unwrap_or(self.default)
    }

    /// Changes one element; the default removes it.
    ///
    /// # Errors
    /// [`MatrixError::OutOfRange`], [`MatrixError::NonFinite`]; [`MatrixError::TooLarge`] when
    /// the limit is reached. The matrix is then as before.
    pub fn set(&mut self, row: usize, col: usize, value: f64) -> Result<(), MatrixError> {
        let key = self.base.key(row, col)?;
        if !value.is_finite() {
            return Err(MatrixError::NonFinite { row, col });
        }
        let old = self.at(key, row, col);
        if old == value {
            return Ok(());
        }
        let size =
            self.size + usize::from(value != self.default) - usize::from(old != self.default);
        self.base.check_entries(size, self.limit)?;
        self.size = size;
        self.overlay.insert(key, value);
        if self.overlay.len() > OVERLAY.max(self.base.entries() / 16) {
            self.merge();
        }
        Ok(())
    }

    /// Merges what waits: 12 bytes an entry afterwards.
    pub fn compact(&mut self) {
        self.merge();
        self.overlay = HashMap::default();
    }

    fn merge(&mut self) {
        let mut changes: Vec<(u64, f64)> = self.overlay.drain().collect();
        if changes.is_empty() {
            return;
        }
        changes.sort_unstable_by_key(|c| c.0);
        let mut merged = match Csr::new(self.rows(), self.cols()) {
            Ok(empty) => empty,
            // The shape was checked when this matrix was made.
            Err(_) => return,
        };
        merged.reserve(self.size);
        let mut changes = changes.into_iter().peekable();
        for (key, value) in self.base.iter_keys() {
            while let Some((k, v)) = changes.next_if(|c| c.0 < key) {
                merged.push(k, v, self.default);
            }
            let value = changes.next_if(|c| c.0 == key).map_or(value, |c| c.1);
            merged.push(key, value, self.default);
        }
        changes.for_each(|(k, v)| merged.push(k, v, self.default));
        merged.shrink();
        self.base = merged;
    }

    /// The matrix for products.
    ///
    /// # Errors
    /// [`MatrixError::DefaultNotZero`].
    pub fn into_csr(mut self) -> Result<Csr, MatrixError> {
        if self.default != 0.0 {
            return Err(MatrixError::DefaultNotZero);
        }
        self.merge();
        Ok(self.base)
    }

    /// All elements, the defaults too.
    ///
    /// # Errors
    /// [`MatrixError::TooLarge`] above `limit` elements.
    pub fn to_dense(&self, limit: usize) -> Result<Matrix<f64>, MatrixError> {
        let mut dense = Matrix::zeros(self.rows(), self.cols(), limit)?;
        let cols = self.cols();
        let data = dense.as_mut_slice();
        data.fill(self.default);
        let changes = self.overlay.iter().map(|(&key, &value)| (key, value));
        for (key, value) in self.base.iter_keys().chain(changes) {
            data[(key >> 32) as usize * cols + key as u32 as usize] = value;
        }
        Ok(dense)
    }
}

impl From<Csr> for SparseMatrix {
    fn from(base: Csr) -> Self {
        Self {
            size: base.entries(),
            base,
            overlay: HashMap::default(),
            default: 0.0,
            limit: u32::MAX as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::rng::Rng;

    proptest! {
        #[test]
        fn behaves_as_a_map_of_elements(
            default in prop_oneof![Just(0.0), Just(1.5)],
            writes in prop::collection::vec((0usize..40, 0usize..30, 0u8..4), 0..1500),
        ) {
            let mut sparse = SparseMatrix::new(40, 30, default, 2000).unwrap();
            let mut twin = BTreeMap::new();
            for (row, col, value) in writes {
                let value = f64::from(value) * 0.5;
                sparse.set(row, col, value).unwrap();
                if value == default {
                    twin.remove(&(row, col));
                } else {
                    twin.insert((row, col), value);
                }
                prop_assert_eq!(sparse.size(), twin.len());
            }
            let dense = sparse.to_dense(1200).unwrap();
            let mut compact = sparse.clone();
            compact.compact();
            for row in 0..40 {
                for col in 0..30 {
                    let expected = twin.get(&(row, col)).copied().unwrap_or(default);
                    prop_assert_eq!(sparse.get(row, col).unwrap(), expected);
                    prop_assert_eq!(compact.get(row, col).unwrap(), expected);
                    prop_assert_eq!(dense.get(row, col), Some(expected));
                }
            }
            prop_assert_eq!(compact.size(), twin.len());
            match sparse.into_csr() {
                Ok(csr) => {
                    prop_assert_eq!(csr.entries(), twin.len());
                    prop_assert_eq!(Csr::from_dense(&csr.to_dense(1200).unwrap()).unwrap(), csr);
                }
                Err(e) => prop_assert!(default != 0.0 && e == MatrixError::DefaultNotZero),
            }
        }
    }

    #[test]
    fn an_entry_takes_twelve_bytes_and_a_bounded_share() {
        let mut m = SparseMatrix::new(1000, 1000, 0.0, 200_000).unwrap();
        let mut rng = Rng::new(1);
        while m.size() < 100_000 {
            m.set(rng.below(1000) as usize, rng.below(1000) as usize, 1.0)
                .unwrap();
            // The overlay is small before the first merges, and its table doubles.
            assert!(m.memory_usage() <= m.size() * 17 + 8 * 1000 + 16_384);
        }
        m.compact();
        assert!(m.memory_usage() <= 100_000 * 12 + 8 * 1000 + 300);
    }

    #[test]
    fn a_huge_shape_costs_nothing() {
        let mut m = SparseMatrix::new(4_000_000_000, 4_000_000_000, 0.0, 10).unwrap();
        m.set(3_999_999_999, 3_999_999_999, 1.0).unwrap();
        m.compact();
        assert!(m.memory_usage() < 400);
        assert_eq!(m.get(3_999_999_999, 3_999_999_999).unwrap(), 1.0);
    }

    #[test]
    fn a_refused_write_changes_nothing() {
        let mut m = SparseMatrix::new(2, 2, 0.0, 1).unwrap();
        m.set(0, 0, 1.0).unwrap();
        assert!(matches!(
            m.set(1, 1, 1.0),
            Err(MatrixError::TooLarge { limit: 1, .. })
        ));
        assert!(matches!(
            m.set(0, 1, f64::NAN),
            Err(MatrixError::NonFinite { row: 0, col: 1 })
        ));
        assert_eq!(
            m.set(2, 0, 1.0).unwrap_err().to_string(),
            "row 2, column 0 is outside of 2 x 2"
        );
        assert_eq!((m.size(), m.get(1, 1).unwrap()), (1, 0.0));
        m.set(0, 0, 0.0).unwrap();
        m.set(1, 1, 4.0).unwrap();
        assert_eq!(m.size(), 1);
    }
}
