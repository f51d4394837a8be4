//! What kinds of bytes stand where in a block of 64. The only unsafe code of the batches.
#![allow(unsafe_code)]

use core::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
    _mm_set1_epi8, _mm_sub_epi8,
};

/// Bytes of a block.
pub(super) const BLOCK: usize = 64;

/// Sets of places in a block, bit n for byte n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    /// What ends a run of plain bytes in a string: a quote, a backslash, a control character.
    pub(super) stops: u64,
    /// The digits 0 to 9.
    pub(super) digits: u64,
}

impl Marks {
    #[inline(always)]
    pub(super) fn of(block: &[u8; BLOCK]) -> Self {
        let mut marks = Self {
            stops: 0,
            digits: 0,
        };
        let (parts, _) = block.as_chunks::<16>();
        for (part, shift) in parts.iter().zip((0..).step_by(16)) {
            let (stops, digits) = sixteen(part);
            marks.stops |= u64::from(stops) << shift;
            marks.digits |= u64::from(digits) << shift;
        }
        marks
    }
}

#[inline(always)]
fn sixteen(bytes: &[u8; 16]) -> (u16, u16) {
    // SAFETY: every x86-64 processor has SSE2, the load is of 16 bytes that are there and needs no
    // alignment, and none of the others touches memory.
    unsafe {
        let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
        let all = |byte: u8| _mm_set1_epi8(byte.cast_signed());
        let up_to = |x: __m128i, most: u8| _mm_cmpeq_epi8(_mm_min_epu8(x, all(most)), x);
        let quotes = _mm_cmpeq_epi8(bytes, all(b'"'));
        let backslashes = _mm_cmpeq_epi8(bytes, all(b'\\'));
        let stops = _mm_or_si128(_mm_or_si128(quotes, backslashes), up_to(bytes, 0x1f));
        let digits = up_to(_mm_sub_epi8(bytes, all(b'0')), 9);
        // Sixteen bits each.
        let bits = |x| _mm_movemask_epi8(x) as u16;
        (bits(stops), bits(digits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_mark_in_every_place() {
        for byte in 0..=u8::MAX {
            for place in (0..BLOCK).step_by(if cfg!(miri) { 13 } else { 1 }) {
                let mut block = [b'a'; BLOCK];
                block[place] = byte;
                let bit = |is: bool| u64::from(is) << place;
                let wanted = Marks {
                    stops: bit(matches!(byte, b'"' | b'\\' | 0..=0x1f)),
                    digits: bit(byte.is_ascii_digit()),
                };
                assert_eq!(Marks::of(&block), wanted, "{byte} at {place}");
            }
        }
    }
}
