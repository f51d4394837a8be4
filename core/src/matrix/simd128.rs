//! The inner loops of [`panel`](super::panel) in WebAssembly's vectors, written out: the compiler's
//! own order keeps every broadcast at once, and an engine with 16 registers spills.
#![allow(unsafe_code)]

use core::arch::wasm32::{
    f32x4_add, f32x4_mul, f64x2_add, f64x2_mul, u64x2_splat, v128, v128_load, v128_load32_splat,
    v128_load64_splat, v128_store,
};

use super::panel::MR;

macro_rules! block {
    ($name:ident, $type:ty, $n:literal, $splat:ident, $mul:ident, $add:ident) => {
        /// As [`panel::block`](super::panel::block).
        ///
        /// # Safety
        /// Each line must be readable for as many elements as the panel has rows.
        #[inline(never)]
        pub(super) unsafe fn $name(
            panel: &[[$type; $n]],
            lines: [*const $type; MR],
        ) -> [[$type; $n]; MR] {
            let mut sums = [[u64x2_splat(0); 2]; MR];
            let mut b = panel.as_ptr().cast::<v128>();
            let mut step = |p: usize| {
                // SAFETY: each step reads one row of the panel, two vectors, and one element of
                // each line; `p` stays below the number of the panel's rows.
                unsafe {
                    let (left, right) = (v128_load(b), v128_load(b.add(1)));
                    for i in 0..MR {
                        let a = $splat(lines[i].add(p).cast());
                        sums[i][0] = $add(sums[i][0], $mul(a, left));
                        sums[i][1] = $add(sums[i][1], $mul(a, right));
                    }
                    b = b.add(2);
                }
            };
            for p in 0..panel.len() {
                step(p);
            }
            let mut out = [[0.0; $n]; MR];
            for (row, sum) in out.iter_mut().zip(sums) {
                // SAFETY: a row is as long as two vectors.
                unsafe {
                    v128_store(row.as_mut_ptr().cast(), sum[0]);
                    v128_store(row.as_mut_ptr().cast::<v128>().add(1), sum[1]);
                }
            }
            out
        }
    };
}

block!(block_f32, f32, 8, v128_load32_splat, f32x4_mul, f32x4_add);
block!(block_f64, f64, 4, v128_load64_splat, f64x2_mul, f64x2_add);
