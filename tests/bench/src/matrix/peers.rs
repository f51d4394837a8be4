//! The crates that products are measured against. Each gives a fresh result, as ours does.
#![allow(unsafe_code)]

use faer::{Accum, MatMut, MatRef, linalg::matmul::matmul};
use sommos_core::matrix::Element;

/// A type that every peer multiplies.
pub trait Peers: Element {
    /// faer, over `threads`.
    fn faer(n: usize, a: &[Self], b: &[Self], threads: usize) -> Vec<Self>;
    /// gemm, over `threads`.
    fn gemm(n: usize, a: &[Self], b: &[Self], threads: usize) -> Vec<Self>;
    /// matrixmultiply, in one thread.
    fn matrixmultiply(n: usize, a: &[Self], b: &[Self]) -> Vec<Self>;
}

macro_rules! impl_peers {
    ($type:ty, $matrixmultiply:path) => {
        impl Peers for $type {
            fn faer(n: usize, a: &[Self], b: &[Self], threads: usize) -> Vec<Self> {
                let mut out = vec![0.0; n * n];
                let par = match threads {
                    1 => faer::Par::Seq,
                    _ => faer::Par::rayon(threads),
                };
                matmul(
                    MatMut::from_row_major_slice_mut(&mut out, n, n),
                    Accum::Replace,
                    MatRef::from_row_major_slice(a, n, n),
                    MatRef::from_row_major_slice(b, n, n),
                    1.0,
                    par,
                );
                out
            }

            fn gemm(n: usize, a: &[Self], b: &[Self], threads: usize) -> Vec<Self> {
                assert!(a.len() == n * n && b.len() == n * n);
                let mut out = vec![0.0; n * n];
                let stride = n as isize;
                let par = match threads {
                    1 => gemm::Parallelism::None,
                    _ => gemm::Parallelism::Rayon(threads),
                };
                // SAFETY: three slices of n * n elements, row-major.
                unsafe {
                    gemm::gemm(
                        n,
                        n,
                        n,
                        out.as_mut_ptr(),
                        1,
                        stride,
                        false,
                        a.as_ptr(),
                        1,
                        stride,
                        b.as_ptr(),
                        1,
                        stride,
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

            fn matrixmultiply(n: usize, a: &[Self], b: &[Self]) -> Vec<Self> {
                assert!(a.len() == n * n && b.len() == n * n);
                let mut out = vec![0.0; n * n];
                let stride = n as isize;
                // SAFETY: three slices of n * n elements, row-major.
                unsafe {
                    $matrixmultiply(
                        n,
                        n,
                        n,
                        1.0,
                        a.as_ptr(),
                        stride,
                        1,
                        b.as_ptr(),
                        stride,
                        1,
                        0.0,
                        out.as_mut_ptr(),
                        stride,
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
