//! [`Matrix`]: dense, row-major.

use super::{MatrixError, checked_len, gemm::Kernel};

/// A type that matrices hold: `f32` or `f64`. Sealed: the kernels exist for these two.
pub trait Element: Kernel {
    /// Neither NaN nor infinite.
    fn is_finite(self) -> bool;
    /// The nearest value of this type.
    fn from_f64(value: f64) -> Self;
    /// The same value as f64, exactly.
    fn to_f64(self) -> f64;
}

impl Element for f32 {
    fn is_finite(self) -> bool {
        Self::is_finite(self)
    }

    fn from_f64(value: f64) -> Self {
        value as Self
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Element for f64 {
    fn is_finite(self) -> bool {
        Self::is_finite(self)
    }

    fn from_f64(value: f64) -> Self {
        value
    }

    fn to_f64(self) -> f64 {
        self
    }
}

/// A dense row-major matrix with at least one row and one column.
///
/// ```
/// use sommos_core::matrix::Matrix;
/// let m = Matrix::from_rows(&[[1.0, 2.0], [3.0, 4.0]], 100)?;
/// assert_eq!((m.rows(), m.cols(), m.get(1, 0)), (2, 2, Some(3.0)));
/// let ragged = Matrix::from_rows(&[vec![1.0, 2.0], vec![3.0]], 100).unwrap_err();
/// assert_eq!(
///     ragged.to_string(),
///     "row 1 has 1 columns, row 0 has 2: rows must be equally long"
/// );
/// # Ok::<(), sommos_core::matrix::MatrixError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix<T> {
    rows: usize,
    cols: usize,
    data: Vec<T>,
}

impl<T: Element> Matrix<T> {
    /// All zero. Costs `rows * cols` elements.
    ///
    /// # Errors
    /// [`MatrixError::Empty`]; [`MatrixError::TooLarge`] above `limit` elements.
    pub fn zeros(rows: usize, cols: usize, limit: usize) -> Result<Self, MatrixError> {
        let len = checked_len(rows, cols, limit)?;
        let data = vec![T::ZERO; len];
        Ok(Self { rows, cols, data })
    }

    /// Takes row-major data over without a copy; one pass to check it.
    ///
    /// # Errors
    /// [`MatrixError::Empty`], [`MatrixError::TooLarge`], [`MatrixError::Length`],
    /// [`MatrixError::NonFinite`].
    pub fn from_vec(
        rows: usize,
        cols: usize,
        data: Vec<T>,
        limit: usize,
    ) -> Result<Self, MatrixError> {
        let len = checked_len(rows, cols, limit)?;
        if data.len() != len {
            let len = data.len();
            return Err(MatrixError::Length { rows, cols, len });
        }
        // Without an early exit within a row the check is vectorized.
        let probe = |row: &[T]| row.iter().fold(true, |all, v| all & v.is_finite());
        if let Some(row) = data.chunks_exact(cols).position(|r| !probe(r)) {
            let bad = data.iter().skip(row * cols).position(|v| !v.is_finite());
            let col = bad.unwrap_or(0);
            return Err(MatrixError::NonFinite { row, col });
        }
        Ok(Self { rows, cols, data })
    }

    /// Copies nested rows.
    ///
    /// # Errors
    /// [`MatrixError::Ragged`] and those of [`Matrix::from_vec`].
    pub fn from_rows<R: AsRef<[T]>>(rows: &[R], limit: usize) -> Result<Self, MatrixError> {
        let cols = rows.first().map_or(0, |r| r.as_ref().len());
        let ragged = |r: &R| r.as_ref().len() != cols;
        if let Some(row) = rows.iter().position(ragged) {
            return Err(MatrixError::Ragged {
                row,
                len: rows.get(row).map_or(0, |r| r.as_ref().len()),
                expected: cols,
            });
        }
        let mut data = Vec::with_capacity(checked_len(rows.len(), cols, limit)?);
        for row in rows {
            data.extend_from_slice(row.as_ref());
        }
        Self::from_vec(rows.len(), cols, data, limit)
    }

    /// For kernels whose output has the right length by construction.
    pub(super) fn from_parts(rows: usize, cols: usize, data: Vec<T>) -> Self {
        debug_assert_eq!(rows * cols, data.len());
        Self { rows, cols, data }
    }

    /// Number of rows, at least 1.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns, at least 1.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// One element; `None` outside.
    #[must_use]
    pub fn get(&self, row: usize, col: usize) -> Option<T> {
        if col >= self.cols {
            return None;
        }
        self.data.get(row.checked_mul(self.cols)? + col).copied()
    }

    /// Row `row`; empty outside.
    #[must_use]
    pub fn row(&self, row: usize) -> &[T] {
        self.data
            .chunks_exact(self.cols)
            .nth(row)
            .unwrap_or_default()
    }

    /// The rows in order.
    pub fn iter_rows(&self) -> impl ExactSizeIterator<Item = &[T]> {
        self.data.chunks_exact(self.cols)
    }

    /// The elements, row after row.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.data
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The elements, row after row, without a copy.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.data
    }

    /// Nested rows, as JSON has them.
    #[must_use]
    pub fn to_rows(&self) -> Vec<Vec<T>> {
        self.iter_rows().map(<[T]>::to_vec).collect()
    }

    /// Rows and columns exchanged, in blocks of 32 x 32 that stay in the first-level cache.
    #[must_use]
    pub fn transposed(&self) -> Self {
        const BLOCK: usize = 32;
        let (rows, cols) = (self.rows, self.cols);
        let mut data = vec![T::ZERO; self.data.len()];
        for row0 in (0..rows).step_by(BLOCK) {
            for col0 in (0..cols).step_by(BLOCK) {
                for row in row0..rows.min(row0 + BLOCK) {
                    for col in col0..cols.min(col0 + BLOCK) {
                        data[col * rows + row] = self.data[row * cols + col];
                    }
                }
            }
        }
        Self::from_parts(cols, rows, data)
    }

    /// The same values in the other precision (rounded to nearest when that is the narrower).
    ///
    /// # Errors
    /// [`MatrixError::NonFinite`] when an f64 is too large for f32.
    pub fn convert<U: Element>(&self) -> Result<Matrix<U>, MatrixError> {
        let data = self.data.iter().map(|v| U::from_f64(v.to_f64())).collect();
        Matrix::from_vec(self.rows, self.cols, data, usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn construction_names_what_is_wrong() {
        let limit = 6;
        assert_eq!(
            Matrix::<f64>::from_rows(&[[0.0; 3]; 3], limit).unwrap_err(),
            MatrixError::TooLarge {
                rows: 3,
                cols: 3,
                limit
            }
        );
        assert_eq!(
            Matrix::from_rows(&[[1.0, 2.0], [3.0, f64::NAN]], limit).unwrap_err(),
            MatrixError::NonFinite { row: 1, col: 1 }
        );
        assert_eq!(
            Matrix::from_rows(&[[1.0f32, f32::INFINITY]], limit).unwrap_err(),
            MatrixError::NonFinite { row: 0, col: 1 }
        );
        let none: [[f64; 2]; 0] = [];
        let empty = MatrixError::Empty { rows: 0, cols: 0 };
        assert_eq!(Matrix::from_rows(&none, limit).unwrap_err(), empty);
        assert!(matches!(
            Matrix::<f64>::zeros(usize::MAX, 2, usize::MAX),
            Err(MatrixError::TooLarge { .. })
        ));
        assert!(matches!(
            Matrix::from_vec(2, 2, vec![1.0], limit),
            Err(MatrixError::Length { len: 1, .. })
        ));
    }

    #[test]
    fn transposing_twice_gives_the_matrix_back() {
        let data: Vec<f64> = (0..35 * 67).map(f64::from).collect();
        let m = Matrix::from_vec(35, 67, data, usize::MAX).unwrap();
        let t = m.transposed();
        assert_eq!(t.get(66, 34), m.get(34, 66));
        assert_eq!(t.transposed(), m);
        assert_eq!(m.get(0, 67), None);
        assert_eq!(m.get(usize::MAX, 0), None);
    }

    #[test]
    fn a_value_too_large_for_f32_is_named() {
        let m = Matrix::from_rows(&[[1.5, 1e300]], 2).unwrap();
        assert_eq!(
            m.convert::<f32>().unwrap_err(),
            MatrixError::NonFinite { row: 0, col: 1 }
        );
    }
}
