//! What one instruction of the processor does and plain code does not: comparing sixteen bytes.
//! The only unsafe code of the cache.
#![allow(unsafe_code)]

/// Bytes of a [`Matches`] that are looked at.
pub(super) const BYTES: usize = 12;

/// Which of twelve bytes are equal to another; iterates over their positions, ascending on x86-64,
/// in a fixed order elsewhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matches(u64);

impl Matches {
    /// `low` holds the first eight bytes, the lower half of `high` the last four, little-endian;
    /// its upper half does not matter.
    #[inline]
    pub(super) fn new(low: u64, high: u64, byte: u8) -> Self {
        #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
        {
            Self::sse2(low, high, byte)
        }
        #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
        {
            Self::portable(low, high, byte)
        }
    }

    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    #[inline]
    fn sse2(low: u64, high: u64, byte: u8) -> Self {
        use core::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8,
        };
        // SAFETY: the build enables the feature, and none of the functions touches memory.
        let equal = unsafe {
            let bytes = _mm_set_epi64x(high.cast_signed(), low.cast_signed());
            _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed())))
        };
        Self(equal as u64 & ((1 << BYTES) - 1))
    }

    /// Bit 0 of byte p stands for position p below 8, bit 4 of it for position 8 + p.
    #[cfg(any(test, not(all(target_arch = "x86_64", target_feature = "sse2"))))]
    #[inline]
    fn portable(low: u64, high: u64, byte: u8) -> Self {
        let wanted = u64::from(byte) * 0x0101_0101_0101_0101;
        // The top bit of each byte that is equal, without carries from one byte to the next.
        let equal = |word: u64| {
            const LOW7: u64 = 0x7f7f_7f7f_7f7f_7f7f;
            let word = word ^ wanted;
            !(((word & LOW7) + LOW7) | word | LOW7)
        };
        Self(equal(low) >> 7 | (equal(high) & 0xffff_ffff) >> 3)
    }

    #[inline]
    fn position(bit: u32) -> usize {
        if cfg!(all(target_arch = "x86_64", target_feature = "sse2")) {
            bit as usize
        } else {
            (bit >> 3 | (bit & 4) << 1) as usize
        }
    }
}

impl Iterator for Matches {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(Self::position(bit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_bytes_is_found() {
        for byte in [0, 1, 2, 0x7f, 0x80, 0xff] {
            for set in (0..1u32 << BYTES).step_by(if cfg!(miri) { 331 } else { 1 }) {
                // The others differ in their lowest bit, where carries would show.
                let bytes: [u8; BYTES] =
                    core::array::from_fn(|at| byte ^ u8::from(set >> at & 1 == 0));
                let low = (0..8).map(|at| u64::from(bytes[at]) << (8 * at)).sum();
                let high = (0..8)
                    .map(|at| u64::from(bytes[(8 + at) % BYTES]) << (8 * at))
                    .sum();
                let found: u32 = Matches::new(low, high, byte).map(|at| 1 << at).sum();
                assert_eq!(found, set);
                let Matches(bits) = Matches::portable(low, high, byte);
                let places = (0..64).filter(|bit| bits >> bit & 1 == 1);
                let portable: u32 = places.map(|bit| 1 << (bit >> 3 | (bit & 4) << 1)).sum();
                assert_eq!(portable, set);
            }
        }
    }
}
