//! [`Csr`]: sparse, read-only, compressed rows.

use super::{Matrix, MatrixError, checked_len};
use crate::{pages, simd::prefetch};

/// A sparse f64 matrix in compressed rows. Only rows that have entries are listed, so that a
/// matrix of millions of rows with ten entries takes some hundred bytes.
///
/// 12 bytes an entry (u32 column, f64 value), 8 bytes a non-empty row. Entries that are exactly 0
/// are not kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Csr {
    rows: u32,
    cols: u32,
    /// Non-empty rows, ascending.
    row_ids: Vec<u32>,
    /// Where the entries of each end; they start where the row before it ends.
    row_ends: Vec<u32>,
    col_ids: Vec<u32>,
    values: Vec<f64>,
}

impl Csr {
    /// Without entries.
    ///
    /// # Errors
    /// [`MatrixError::Empty`] and [`MatrixError::DimensionTooLarge`].
    pub fn new(rows: usize, cols: usize) -> Result<Self, MatrixError> {
        if rows == 0 || cols == 0 {
            return Err(MatrixError::Empty { rows, cols });
        }
        let (Ok(r), Ok(c)) = (u32::try_from(rows), u32::try_from(cols)) else {
            return Err(MatrixError::DimensionTooLarge { rows, cols });
        };
        Ok(Self {
            rows: r,
            cols: c,
            row_ids: Vec::new(),
            row_ends: Vec::new(),
            col_ids: Vec::new(),
            values: Vec::new(),
        })
    }

    /// From entries in any order; of several at one place the last counts. O(n log n).
    ///
    /// # Errors
    /// Those of [`Csr::new`]; [`MatrixError::TooLarge`] above `limit` entries;
    /// [`MatrixError::OutOfRange`]; [`MatrixError::NonFinite`].
    pub fn from_entries(
        rows: usize,
        cols: usize,
        entries: &[(usize, usize, f64)],
        limit: usize,
    ) -> Result<Self, MatrixError> {
        let mut csr = Self::new(rows, cols)?;
        csr.check_entries(entries.len(), limit)?;
        let mut keyed = Vec::with_capacity(entries.len());
        for &(row, col, value) in entries {
            keyed.push((csr.key(row, col)?, value));
            if !value.is_finite() {
                return Err(MatrixError::NonFinite { row, col });
            }
        }
        keyed.sort_by_key(|e| e.0);
        let last_of_place = |i: usize| keyed.get(i + 1).is_none_or(|n| n.0 != keyed[i].0);
        for (i, &(key, value)) in keyed.iter().enumerate() {
            if last_of_place(i) {
                csr.push(key, value, 0.0);
            }
        }
        csr.shrink();
        Ok(csr)
    }

    /// The non-zero elements of a dense matrix.
    ///
    /// # Errors
    /// [`MatrixError::DimensionTooLarge`]; [`MatrixError::TooLarge`] above 2³² - 1 entries.
    pub fn from_dense(dense: &Matrix<f64>) -> Result<Self, MatrixError> {
        let mut csr = Self::new(dense.rows(), dense.cols())?;
        let count = dense.as_slice().iter().filter(|&&v| v != 0.0).count();
        csr.check_entries(count, usize::MAX)?;
        csr.reserve(count);
        for (row, values) in dense.iter_rows().enumerate() {
            for (col, &value) in values.iter().enumerate() {
                csr.push((row as u64) << 32 | col as u64, value, 0.0);
            }
        }
        Ok(csr)
    }

    /// All elements.
    ///
    /// # Errors
    /// [`MatrixError::TooLarge`] above `limit` elements.
    pub fn to_dense(&self, limit: usize) -> Result<Matrix<f64>, MatrixError> {
        let (rows, cols) = (self.rows(), self.cols());
        let mut data = vec![0.0; checked_len(rows, cols, limit)?];
        for (row, ids, values) in self.iter_rows() {
            for (&col, &value) in ids.iter().zip(values) {
                data[row * cols + col as usize] = value;
            }
        }
        Ok(Matrix::from_parts(rows, cols, data))
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Number of columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols as usize
    }

    /// Entries kept.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.values.len()
    }

    /// Bytes of the heap, as allocated, and of the struct.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        let ids = self.row_ids.capacity() + self.row_ends.capacity() + self.col_ids.capacity();
        size_of::<Self>() + ids * size_of::<u32>() + self.values.capacity() * size_of::<f64>()
    }

    /// The entry there, if it is kept; O(log). `None` also outside of the matrix.
    #[must_use]
    pub fn get(&self, row: usize, col: usize) -> Option<f64> {
        let row = u32::try_from(row).ok()?;
        let col = u32::try_from(col).ok()?;
        // Without empty rows the list is 0, 1, 2, ..: no search.
        let slot = match self.row_ids.get(row as usize) {
            Some(&id) if id == row => row as usize,
            _ => self.row_ids.binary_search(&row).ok()?,
        };
        let (ids, values) = self.slot(slot);
        values.get(ids.binary_search(&col).ok()?).copied()
    }

    /// `(row, columns, values)` of each row that has entries, both ascending.
    pub fn iter_rows(&self) -> impl ExactSizeIterator<Item = (usize, &[u32], &[f64])> {
        self.iter_slots(0..self.slots())
    }

    /// The same of some of them, counted without the empty rows.
    pub(super) fn iter_slots(
        &self,
        slots: std::ops::Range<usize>,
    ) -> impl ExactSizeIterator<Item = (usize, &[u32], &[f64])> {
        let mut start = self.slot_start(slots.start);
        let rows = self.row_ids.get(slots.clone()).unwrap_or_default();
        let ends = self.row_ends.get(slots).unwrap_or_default();
        rows.iter().zip(ends).map(move |(&row, &end)| {
            let range = std::mem::replace(&mut start, end as usize)..end as usize;
            let ids = self.col_ids.get(range.clone()).unwrap_or_default();
            (
                row as usize,
                ids,
                self.values.get(range).unwrap_or_default(),
            )
        })
    }

    /// Rows that have entries.
    pub(super) fn slots(&self) -> usize {
        self.row_ids.len()
    }

    /// The number of the `slot`-th row that has entries.
    pub(super) fn slot_row(&self, slot: usize) -> usize {
        self.row_ids.get(slot).map_or(0, |&r| r as usize)
    }

    /// Columns of the entries behind the first `skip` of the rows up to the `slot`-th one.
    pub(super) fn cols_ahead(&self, slot: usize, skip: usize) -> &[u32] {
        let start = self.slot_start(slot).saturating_add(skip);
        self.col_ids.get(start..).unwrap_or_default()
    }

    /// The `slot`-th row that has entries.
    pub(super) fn slot(&self, slot: usize) -> (&[u32], &[f64]) {
        let start = self.slot_start(slot);
        let end = self.row_ends.get(slot).map_or(start, |&e| e as usize);
        let ids = self.col_ids.get(start..end).unwrap_or_default();
        (ids, self.values.get(start..end).unwrap_or_default())
    }

    fn slot_start(&self, slot: usize) -> usize {
        let before = slot.checked_sub(1);
        before.map_or(0, |slot| self.row_ends.get(slot).map_or(0, |&e| e as usize))
    }

    /// For many look-ups of rows by number.
    pub(super) fn by_row(&self) -> ByRow<'_> {
        // A place a row pays unless nearly all rows are empty.
        let starts = (self.slots() >= self.rows() / 8).then(|| {
            let mut starts = Vec::with_capacity(self.rows() + 1);
            let mut end = 0;
            for (&row, &row_end) in self.row_ids.iter().zip(&self.row_ends) {
                starts.resize(row as usize + 1, end);
                end = row_end;
            }
            starts.resize(self.rows() + 1, end);
            starts
        });
        ByRow { csr: self, starts }
    }

    /// Row in the upper half, column in the lower: the order of the entries.
    pub(super) fn key(&self, row: usize, col: usize) -> Result<u64, MatrixError> {
        if row < self.rows() && col < self.cols() {
            return Ok((row as u64) << 32 | col as u64);
        }
        Err(MatrixError::OutOfRange {
            row,
            col,
            rows: self.rows(),
            cols: self.cols(),
        })
    }

    pub(super) fn check_entries(&self, count: usize, limit: usize) -> Result<(), MatrixError> {
        let limit = limit.min(u32::MAX as usize);
        if count <= limit {
            return Ok(());
        }
        Err(MatrixError::TooLarge {
            rows: count,
            cols: 1,
            limit,
        })
    }

    pub(super) fn reserve(&mut self, entries: usize) {
        self.col_ids.reserve_exact(entries);
        self.values.reserve_exact(entries);
        pages::advise(self.col_ids.spare_capacity_mut());
        pages::advise(self.values.spare_capacity_mut());
    }

    /// Appends an entry after all others; one equal to `default` is left out.
    pub(super) fn push(&mut self, key: u64, value: f64, default: f64) {
        if value == default {
            return;
        }
        let row = (key >> 32) as u32;
        self.col_ids.push(key as u32);
        self.values.push(value);
        let end = self.values.len() as u32;
        match self.row_ends.last_mut() {
            Some(last) if self.row_ids.last() == Some(&row) => *last = end,
            _ => {
                self.row_ids.push(row);
                self.row_ends.push(end);
            }
        }
    }

    /// Appends an entry of a row that [`Csr::end_row`] ends, after the others of it; zeros are left
    /// out.
    #[inline]
    pub(super) fn push_in_row(&mut self, col: u32, value: f64) {
        if value != 0.0 {
            self.col_ids.push(col);
            self.values.push(value);
        }
    }

    /// Ends a row, after all others; one without entries is left out.
    pub(super) fn end_row(&mut self, row: u32) {
        let end = self.values.len() as u32;
        if end != self.row_ends.last().copied().unwrap_or(0) {
            self.row_ids.push(row);
            self.row_ends.push(end);
        }
    }

    /// Appends the rows of a matrix of this shape, whose first comes after our last.
    pub(super) fn append(&mut self, rows: &Self) {
        let before = self.values.len() as u32;
        self.row_ids.extend_from_slice(&rows.row_ids);
        let ends = rows.row_ends.iter().map(|end| before + end);
        self.row_ends.extend(ends);
        self.col_ids.extend_from_slice(&rows.col_ids);
        self.values.extend_from_slice(&rows.values);
    }

    pub(super) fn shrink(&mut self) {
        self.row_ids.shrink_to_fit();
        self.row_ends.shrink_to_fit();
        self.col_ids.shrink_to_fit();
        self.values.shrink_to_fit();
    }

    /// Every entry with its key, ascending.
    pub(super) fn iter_keys(&self) -> impl Iterator<Item = (u64, f64)> {
        self.iter_rows().flat_map(|(row, ids, values)| {
            let key = move |&col: &u32| (row as u64) << 32 | u64::from(col);
            ids.iter().map(key).zip(values.iter().copied())
        })
    }
}

/// Rows of a [`Csr`] by number; 4 bytes a row unless nearly all are empty.
pub(super) struct ByRow<'a> {
    csr: &'a Csr,
    /// Where the entries of each row start; the next row's start is their end.
    starts: Option<Vec<u32>>,
}

impl<'a> ByRow<'a> {
    pub(super) fn csr(&self) -> &'a Csr {
        self.csr
    }

    /// Asks for the memory of row `row`.
    #[inline]
    pub(super) fn prefetch(&self, row: u32) {
        if let Some(&start) = self.starts.as_ref().and_then(|s| s.get(row as usize)) {
            prefetch(&self.csr.col_ids, start as usize);
            prefetch(&self.csr.values, start as usize);
            // A line holds eight.
            prefetch(&self.csr.values, start as usize + 7);
        }
    }

    /// Row `row`, empty when it has no entries.
    #[inline]
    pub(super) fn get(&self, row: u32) -> (&'a [u32], &'a [f64]) {
        let csr = self.csr;
        let Some(starts) = &self.starts else {
            let slot = csr.row_ids.binary_search(&row);
            return slot.map_or((&[], &[]), |slot| csr.slot(slot));
        };
        let range = match starts.get(row as usize..).unwrap_or_default() {
            [start, end, ..] => *start as usize..*end as usize,
            _ => 0..0,
        };
        let ids = csr.col_ids.get(range.clone()).unwrap_or_default();
        (ids, csr.values.get(range).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_by_number_are_those_of_the_list() {
        for rows in [20, 20_000] {
            let entries = [(0, 1, 1.0), (3, 0, 2.0), (3, 2, 3.0), (9, 1, 4.0)];
            let csr = Csr::from_entries(rows, 3, &entries, 10).unwrap();
            let by_row = csr.by_row();
            assert_eq!(by_row.starts.is_some(), rows == 20);
            assert_eq!(by_row.get(0), (&[1][..], &[1.0][..]));
            assert_eq!(by_row.get(3), (&[0, 2][..], &[2.0, 3.0][..]));
            assert_eq!(by_row.get(9), (&[1][..], &[4.0][..]));
            for empty in [1, 4, 10, 19, u32::MAX] {
                assert!(by_row.get(empty).0.is_empty(), "{empty} of {rows}");
            }
        }
    }
}
