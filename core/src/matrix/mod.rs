//! Dense and sparse matrices: checked construction, products, similarity of rows, `.npy` files.
//!
//! | shape | type | bytes |
//! |---|---|---|
//! | dense, row-major | [`Matrix<f32>`], [`Matrix<f64>`] | 4 or 8 an element |
//! | sparse, read-only | [`Csr`] | 12 an entry, 8 a non-empty row |
//! | sparse, mutable | [`SparseMatrix`] | the same, and an overlay of at most a sixteenth |
//!
//! Every constructor takes the largest element count it may allocate, so that a request body
//! cannot ask for more. Products are cut into tiles that depend on the shapes alone and never on
//! the number of threads: the result is equal to the bit for any [`Par`](crate::par::Par).
//! Between processors and between builds (AVX-512, AVX2, SIMD128, scalar) the order of additions
//! differs; an element then differs by at most `2·k·ε·Σ|a·b|`, with `k` the inner dimension and
//! `ε` 2⁻²⁴ for f32, 2⁻⁵³ for f64 (Higham, Accuracy and Stability of Numerical Algorithms, §3.5).
//! Products of integers whose sums stay below 2²⁴ (f32) or 2⁵³ (f64) are exact everywhere.

mod add_rows;
#[cfg(all(feature = "native-gemm", target_arch = "x86_64"))]
mod avx2;
#[cfg(all(feature = "native-gemm", target_arch = "x86_64"))]
mod avx512;
#[cfg(all(feature = "native-gemm", target_arch = "x86_64"))]
mod copies;
mod csr;
mod csr_product;
#[cfg(all(test, feature = "native-gemm", target_arch = "x86_64"))]
mod definition;
mod dense;
mod few_sums;
mod fresh;
mod gemm;
mod npy;
#[cfg(any(test, not(feature = "native-gemm")))]
mod panel;
mod product;
mod row_sums;
mod rows;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
mod sparse;
mod tiles;

use thiserror::Error;

pub use csr::Csr;
pub use csr_product::{csr_times_csr, csr_times_dense};
pub use dense::{Element, Matrix};
pub use npy::{NpyError, NpyMatrix, parse_npy, write_npy};
pub use product::{ProductLimits, multiply, multiply_into};
pub use rows::{RowMeasure, RowNeighbour, row_similarity, row_similarity_top_k};
pub use sparse::SparseMatrix;

use crate::control::Stopped;

/// Why a matrix could not be made or an operation not be done. Rows and columns count from 0.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MatrixError {
    /// No rows, or rows without columns.
    #[error("a matrix needs at least one row and one column, got {rows} x {cols}")]
    Empty {
        /// Rows given.
        rows: usize,
        /// Columns given.
        cols: usize,
    },
    /// Rows of different lengths.
    #[error("row {row} has {len} columns, row 0 has {expected}: rows must be equally long")]
    Ragged {
        /// The first row that differs.
        row: usize,
        /// Its length.
        len: usize,
        /// The length of row 0.
        expected: usize,
    },
    /// The data does not fill the shape.
    #[error("{rows} x {cols} needs {rows} * {cols} elements, got {len}")]
    Length {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
        /// Elements given.
        len: usize,
    },
    /// NaN or infinity.
    #[error("element at row {row}, column {col} is not finite")]
    NonFinite {
        /// Its row.
        row: usize,
        /// Its column.
        col: usize,
    },
    /// More elements than allowed.
    #[error("{rows} x {cols} elements are over the limit of {limit}")]
    TooLarge {
        /// Rows of the matrix (or entries, with `cols` 1).
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
        /// The limit, elements.
        limit: usize,
    },
    /// A product with more multiply-adds than allowed.
    #[error("{multiply_adds} multiply-adds are over the limit of {limit}")]
    TooMuchWork {
        /// What the product takes (saturated).
        multiply_adds: u64,
        /// The limit.
        limit: u64,
    },
    /// Shapes that cannot be multiplied, or an output of the wrong shape.
    #[error(
        "shapes do not fit: left has {left_cols} columns, right has {right_rows} rows \
         (left {left_rows} x {left_cols}, right {right_rows} x {right_cols})"
    )]
    ShapeMismatch {
        /// Rows of the left operand.
        left_rows: usize,
        /// Columns of the left operand.
        left_cols: usize,
        /// Rows of the right operand.
        right_rows: usize,
        /// Columns of the right operand.
        right_cols: usize,
    },
    /// An output matrix of another shape than the product.
    #[error("the output is {rows} x {cols}, the product is {expected_rows} x {expected_cols}")]
    OutputShape {
        /// Rows of the output given.
        rows: usize,
        /// Columns of the output given.
        cols: usize,
        /// Rows of the product.
        expected_rows: usize,
        /// Columns of the product.
        expected_cols: usize,
    },
    /// An index outside the matrix.
    #[error("row {row}, column {col} is outside of {rows} x {cols}")]
    OutOfRange {
        /// The row asked for.
        row: usize,
        /// The column asked for.
        col: usize,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
    },
    /// A dimension above 2³² - 1, which the sparse index cannot hold.
    #[error("{rows} x {cols}: a sparse matrix has at most 4294967295 rows and columns")]
    DimensionTooLarge {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
    },
    /// A sparse matrix whose default is not 0 has no zero entries to leave out of a product.
    #[error("the default value must be 0 for this operation")]
    DefaultNotZero,
    /// The caller stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// `rows * cols` when it is neither 0 nor over `limit`.
fn checked_len(rows: usize, cols: usize, limit: usize) -> Result<usize, MatrixError> {
    if rows == 0 || cols == 0 {
        return Err(MatrixError::Empty { rows, cols });
    }
    match rows.checked_mul(cols) {
        Some(len) if len <= limit => Ok(len),
        _ => Err(MatrixError::TooLarge { rows, cols, limit }),
    }
}
