//! The most multiply-adds that this processor does: chains of them that do not wait for each
//! other, in the widest registers it has, and no memory.
#![allow(unsafe_code)]

use std::hint::black_box;

/// Chains: more than latency times units of any processor (4 cycles by 2), fewer than registers.
const CHAINS: usize = 12;

/// A type whose peak can be measured.
pub trait Peak: Sized {
    /// Runs at least `multiply_adds` of them in the calling thread and gives how many it did.
    fn run(multiply_adds: usize) -> usize;
}

/// `steps` times one multiply-add in each chain; converges to 1, so no slow numbers arise.
macro_rules! chains {
    ($steps:expr, $set:ident, $fma:ident) => {{
        let half = $set(black_box(0.5));
        let mut sums = [$set(black_box(1.5)); CHAINS];
        for _ in 0..$steps {
            for sum in &mut sums {
                *sum = $fma(*sum, half, half);
            }
        }
        black_box(sums);
    }};
}

macro_rules! impl_peak {
    ($type:ty, $kernels:ident, $set512:ident, $fma512:ident, $set256:ident, $fma256:ident) => {
        #[cfg(target_arch = "x86_64")]
        mod $kernels {
            use std::arch::x86_64::{$fma256, $fma512, $set256, $set512};

            use super::*;

            #[target_feature(enable = "avx512f")]
            pub(super) fn avx512(steps: usize) {
                chains!(steps, $set512, $fma512);
            }

            #[target_feature(enable = "avx2,fma")]
            pub(super) fn avx2(steps: usize) {
                chains!(steps, $set256, $fma256);
            }
        }

        impl Peak for $type {
            fn run(multiply_adds: usize) -> usize {
                let in_register = |bytes: usize| bytes / size_of::<Self>() * CHAINS;
                #[cfg(target_arch = "x86_64")]
                {
                    if is_x86_feature_detected!("avx512f") {
                        let steps = multiply_adds.div_ceil(in_register(64));
                        // SAFETY: the processor has AVX-512F, as was just asked.
                        unsafe { $kernels::avx512(steps) };
                        return steps * in_register(64);
                    }
                    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                        let steps = multiply_adds.div_ceil(in_register(32));
                        // SAFETY: the processor has AVX2 and FMA, as was just asked.
                        unsafe { $kernels::avx2(steps) };
                        return steps * in_register(32);
                    }
                }
                // Registers of 16 bytes, as SSE2 and Neon have.
                const LANES: usize = 16 / size_of::<$type>();
                let set = |x: $type| [x; LANES];
                let fma = |x: [$type; LANES], y: [$type; LANES], z: [$type; LANES]| {
                    std::array::from_fn(|i| x[i].mul_add(y[i], z[i]))
                };
                let steps = multiply_adds.div_ceil(in_register(16));
                chains!(steps, set, fma);
                steps * in_register(16)
            }
        }
    };
}

impl_peak!(
    f32,
    f32_kernels,
    _mm512_set1_ps,
    _mm512_fmadd_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps
);
impl_peak!(
    f64,
    f64_kernels,
    _mm512_set1_pd,
    _mm512_fmadd_pd,
    _mm256_set1_pd,
    _mm256_fmadd_pd
);

/// GFLOPS of `threads` at once, by `clock` in seconds.
pub fn gflops<T: Peak>(threads: usize, multiply_adds: usize, clock: impl Fn() -> f64) -> f64 {
    let start = clock();
    let each = multiply_adds / threads;
    let done: usize = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map(|_| scope.spawn(move || T::run(each)))
            .collect();
        let own = T::run(each);
        own + others
            .into_iter()
            .filter_map(|t| t.join().ok())
            .sum::<usize>()
    });
    2e-9 * done as f64 / (clock() - start)
}
