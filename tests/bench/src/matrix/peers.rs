//! The crates that products are measured against. Each gives a fresh result, as ours does.
#![allow(unsafe_code)]

use faer::{Accum, MatMut, MatRef, linalg::matmul::matmul};
use sommos_core::matrix::Element;

/// Rows of the left operand, its columns, columns of the right one.
pub type Shape = (usize, usize, usize);

/// A type that every peer multiplies; operands are row-major.
pub trait Peers: Element {
    /// faer, over `threads`.
    fn faer(shape: Shape, a: &[Self], b: &[Self], threads: usize) -> Vec<Self>;
    /// gemm, over `threads`.
    fn gemm(shape: Shape, a: &[Self], b: &[Self], threads: usize) -> Vec<Self>;
    /// matrixmultiply, in one thread.
    fn matrixmultiply(shape: Shape, a: &[Self], b: &[Self]) -> Vec<Self>;
}

macro_rules! impl_peers {
    ($type:ty, $matrixmultiply:path) => {
        impl Peers for $type {
            fn faer((m, k, n): Shape, a: &[Self], b: &[Self], threads: usize) -> Vec<Self> {
                let mut out = vec![0.0; m * n];
                let par = match threads {
                    1 => faer::Par::Seq,
                    _ => faer::Par::rayon(threads),
                };
                matmul(
                    MatMut::from_row_major_slice_mut(&mut out, m, n),
                    Accum::Replace,
                    MatRef::from_row_major_slice(a, m, k),
                    MatRef::from_row_major_slice(b, k, n),
                    1.0,
                    par,
                );
                out
            }

            fn gemm((m, k, n): Shape, a: &[Self], b: &[Self], threads: usize) -> Vec<Self> {
                assert!(a.len() == m * k && b.len() == k * n);
                let mut out = vec![0.0; m * n];
                let par = match threads {
                    1 => gemm::Parallelism::None,
                    _ => gemm::Parallelism::Rayon(threads),
                };
                // SAFETY: slices of m * k, k * n and m * n elements, row-major.
                unsafe {
                    gemm::gemm(
                        m,
                        n,
                        k,
                        out.as_mut_ptr(),
                        1,
                        n as isize,
                        false,
                        a.as_ptr(),
                        1,
                        k as isize,
                        b.as_ptr(),
                        1,
                        n as isize,
                        0.0,
                        1.0,
                        false,
                        false,
                        false,
                        par,
                    );
                }
                out
            }

            fn matrixmultiply((m, k, n): Shape, a: &[Self], b: &[Self]) -> Vec<Self> {
                assert!(a.len() == m * k && b.len() == k * n);
                let mut out = vec![0.0; m * n];
                // SAFETY: slices of m * k, k * n and m * n elements, row-major.
                unsafe {
                    $matrixmultiply(
                        m,
                        k,
                        n,
                        1.0,
                        a.as_ptr(),
                        k as isize,
                        1,
                        b.as_ptr(),
                        n as isize,
                        1,
                        0.0,
                        out.as_mut_ptr(),
                        n as isize,
                        1,
                    );
                }
                out
            }
        }
    };
}

impl_peers!(f32, matrixmultiply::sgemm);
impl_peers!(f64, matrixmultiply::dgemm);
