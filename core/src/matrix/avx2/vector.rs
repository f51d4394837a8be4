//! Registers of 32 bytes.
//!
//! Every operation needs AVX2 and FMA, and is inlined into a function that enables them.

use std::arch::x86_64::*;

use crate::matrix::gemm::Kernel;

/// A number with registers for it. Not nameable outside.
///
/// # Safety
/// What each operation asks of its caller: a processor with AVX2 and FMA, and memory that is valid
/// for [`LANES`](Self::LANES) numbers, or one.
pub(in crate::matrix) trait Lanes: Kernel {
    type Vector: Copy;
    /// Numbers in a register.
    const LANES: usize;
    /// Numbers of the inner dimension that are taken at once: a panel of the right side takes
    /// half of a first-level cache of 32 KiB.
    const DEPTH: usize;
    /// Rows of the left side that are copied at once: 150 to 200 KiB of the second-level cache.
    const CHUNK: usize;

    unsafe fn zero() -> Self::Vector;
    /// One number in every lane.
    unsafe fn splat(from: *const Self) -> Self::Vector;
    unsafe fn load(from: *const Self) -> Self::Vector;
    unsafe fn store(to: *mut Self, vector: Self::Vector);
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `sum + x * y`, rounded once.
    unsafe fn add_product(sum: Self::Vector, x: Self::Vector, y: Self::Vector) -> Self::Vector;
}

macro_rules! lanes {
    (
        $scalar:ty, $register:ty, $lanes:literal, $depth:literal, $chunk:literal,
        $zero:ident, $splat:ident, $load:ident, $store:ident, $add:ident, $fma:ident
    ) => {
        // SAFETY of every block: the trait's contract is that of the intrinsic.
        impl Lanes for $scalar {
            type Vector = $register;
            const LANES: usize = $lanes;
            const DEPTH: usize = $depth;
            const CHUNK: usize = $chunk;

            #[inline(always)]
            unsafe fn zero() -> $register {
                unsafe { $zero() }
            }

            #[inline(always)]
            unsafe fn splat(from: *const $scalar) -> $register {
                unsafe { $splat(*from) }
            }

            #[inline(always)]
            unsafe fn load(from: *const $scalar) -> $register {
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn store(to: *mut $scalar, vector: $register) {
                unsafe { $store(to, vector) }
            }

            #[inline(always)]
            unsafe fn add(a: $register, b: $register) -> $register {
                unsafe { $add(a, b) }
            }

            #[inline(always)]
            unsafe fn add_product(sum: $register, x: $register, y: $register) -> $register {
                unsafe { $fma(x, y, sum) }
            }
        }
    };
}

lanes!(
    f32,
    __m256,
    8,
    256,
    144,
    _mm256_setzero_ps,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps,
    _mm256_fmadd_ps
);
lanes!(
    f64,
    __m256d,
    4,
    256,
    96,
    _mm256_setzero_pd,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_add_pd,
    _mm256_fmadd_pd
);
