//! Memory of results.

use super::gemm::Kernel;
use crate::pages;

/// Zeros, in large pages when they are many.
pub(super) fn zeros<T: Kernel>(len: usize) -> Vec<T> {
    let data = vec![T::ZERO; len];
    pages::advise(&data);
    data
}
