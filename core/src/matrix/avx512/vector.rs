//! Registers of 64 and of 32 bytes, with masks.
//!
//! Every operation needs AVX-512 F and VL, and is inlined into a function that enables them.

use std::arch::x86_64::*;

/// A register full of numbers.
///
/// # Safety
/// What each operation asks of its caller: a processor with AVX-512 F and VL, and memory that is
/// valid for [`LANES`](Self::LANES) numbers, or for those that the mask names.
pub trait Vector: Copy + 'static {
    type Scalar: Copy + 'static;
    type Mask: Copy + 'static;
    /// Numbers in a register.
    const LANES: usize;

    /// The first `lanes` of a register, at most [`LANES`](Self::LANES).
    fn mask(lanes: usize) -> Self::Mask;
    unsafe fn zero() -> Self;
    /// One number in every lane.
    unsafe fn splat(from: *const Self::Scalar) -> Self;
    unsafe fn load(from: *const Self::Scalar) -> Self;
    /// 0 in the lanes that the mask does not name.
    unsafe fn load_masked(from: *const Self::Scalar, mask: Self::Mask) -> Self;
    unsafe fn store(self, to: *mut Self::Scalar);
    unsafe fn store_masked(self, to: *mut Self::Scalar, mask: Self::Mask);
    unsafe fn add(self, other: Self) -> Self;
    /// `self + x * y`, rounded once.
    unsafe fn add_product(self, x: Self, y: Self) -> Self;
}

macro_rules! vector {
    (
        $name:ident, $register:ty, $scalar:ty, $mask:ty, $lanes:literal,
        $zero:ident, $splat:ident, $load:ident, $load_masked:ident,
        $store:ident, $store_masked:ident, $add:ident, $fma:ident
    ) => {
        #[derive(Clone, Copy)]
        pub struct $name($register);

        // SAFETY of every block: the trait's contract is that of the intrinsic.
        impl Vector for $name {
            type Scalar = $scalar;
            type Mask = $mask;
            const LANES: usize = $lanes;

            #[inline(always)]
            fn mask(lanes: usize) -> $mask {
                debug_assert!(lanes <= $lanes);
                ((1_u32 << lanes) - 1) as $mask
            }

            #[inline(always)]
            unsafe fn zero() -> Self {
                unsafe { Self($zero()) }
            }

            #[inline(always)]
            unsafe fn splat(from: *const $scalar) -> Self {
                unsafe { Self($splat(*from)) }
            }

            #[inline(always)]
            unsafe fn load(from: *const $scalar) -> Self {
                unsafe { Self($load(from)) }
            }

            #[inline(always)]
            unsafe fn load_masked(from: *const $scalar, mask: $mask) -> Self {
                unsafe { Self($load_masked(mask, from)) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $scalar) {
                unsafe { $store(to, self.0) }
            }

            #[inline(always)]
            unsafe fn store_masked(self, to: *mut $scalar, mask: $mask) {
                unsafe { $store_masked(to, mask, self.0) }
            }

            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                unsafe { Self($add(self.0, other.0)) }
            }

            #[inline(always)]
            unsafe fn add_product(self, x: Self, y: Self) -> Self {
                unsafe { Self($fma(x.0, y.0, self.0)) }
            }
        }
    };
}

vector!(
    F32x16,
    __m512,
    f32,
    __mmask16,
    16,
    _mm512_setzero_ps,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_maskz_loadu_ps,
    _mm512_storeu_ps,
    _mm512_mask_storeu_ps,
    _mm512_add_ps,
    _mm512_fmadd_ps
);
vector!(
    F32x8,
    __m256,
    f32,
    __mmask8,
    8,
    _mm256_setzero_ps,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_maskz_loadu_ps,
    _mm256_storeu_ps,
    _mm256_mask_storeu_ps,
    _mm256_add_ps,
    _mm256_fmadd_ps
);
vector!(
    F64x8,
    __m512d,
    f64,
    __mmask8,
    8,
    _mm512_setzero_pd,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_maskz_loadu_pd,
    _mm512_storeu_pd,
    _mm512_mask_storeu_pd,
    _mm512_add_pd,
    _mm512_fmadd_pd
);
vector!(
    F64x4,
    __m256d,
    f64,
    __mmask8,
    4,
    _mm256_setzero_pd,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_maskz_loadu_pd,
    _mm256_storeu_pd,
    _mm256_mask_storeu_pd,
    _mm256_add_pd,
    _mm256_fmadd_pd
);
