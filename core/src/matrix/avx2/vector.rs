//! Registers of 32 bytes.
//!
//! Every operation needs AVX2 and FMA, and is inlined into a function that enables them.

use std::arch::x86_64::*;

use super::ROWS;
use crate::matrix::gemm::Kernel;

/// Numbers of each row that [`Lanes::interleave`] takes.
pub(super) const COLUMNS: usize = 4;

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
    /// Writes the first numbers of all rows, then the second, to [`COLUMNS`] of each. Each row must
    /// be readable for as many, `to` writable for those of all rows.
    unsafe fn interleave(rows: [*const Self; ROWS], to: *mut Self);
}

/// # Safety
/// As [`Lanes::interleave`].
#[inline(always)]
unsafe fn interleave_f32(rows: [*const f32; ROWS], to: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe {
        let [a, b, c, d, e, f] = rows.map(|row| _mm_loadu_ps(row));
        // The first two columns of each pair of rows, then the other two.
        let halves = [
            (
                _mm_unpacklo_ps(a, b),
                _mm_unpacklo_ps(c, d),
                _mm_unpacklo_ps(e, f),
            ),
            (
                _mm_unpackhi_ps(a, b),
                _mm_unpackhi_ps(c, d),
                _mm_unpackhi_ps(e, f),
            ),
        ];
        for (half, (ab, cd, ef)) in halves.into_iter().enumerate() {
            let to = to.add(half * 2 * ROWS);
            _mm_storeu_ps(to, _mm_movelh_ps(ab, cd));
            _mm_storeu_ps(to.add(4), _mm_shuffle_ps::<0b11_10_01_00>(ef, ab));
            _mm_storeu_ps(to.add(8), _mm_movehl_ps(ef, cd));
        }
    }
}

/// # Safety
/// As [`Lanes::interleave`].
#[inline(always)]
unsafe fn interleave_f64(rows: [*const f64; ROWS], to: *mut f64) {
    // SAFETY: the caller's contract.
    unsafe {
        let [a, b, c, d, e, f] = rows.map(|row| _mm256_loadu_pd(row));
        // Of each pair of rows columns 0 and 2, and columns 1 and 3.
        let even = [
            _mm256_unpacklo_pd(a, b),
            _mm256_unpacklo_pd(c, d),
            _mm256_unpacklo_pd(e, f),
        ];
        let odd = [
            _mm256_unpackhi_pd(a, b),
            _mm256_unpackhi_pd(c, d),
            _mm256_unpackhi_pd(e, f),
        ];
        let pairs = [(even[0], even[1]), (even[2], odd[0]), (odd[1], odd[2])];
        for (at, (x, y)) in pairs.into_iter().enumerate() {
            _mm256_storeu_pd(to.add(4 * at), _mm256_permute2f128_pd::<0x20>(x, y));
            let to = to.add(2 * ROWS);
            _mm256_storeu_pd(to.add(4 * at), _mm256_permute2f128_pd::<0x31>(x, y));
        }
    }
}

macro_rules! lanes {
    (
        $scalar:ty, $register:ty, $lanes:literal, $depth:literal, $chunk:literal,
        $zero:ident, $splat:ident, $load:ident, $store:ident, $add:ident, $fma:ident, $interleave:ident
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

            #[inline(always)]
            unsafe fn interleave(rows: [*const $scalar; ROWS], to: *mut $scalar) {
                unsafe { $interleave(rows, to) }
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
    _mm256_fmadd_ps,
    interleave_f32
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
    _mm256_fmadd_pd,
    interleave_f64
);
