//! The exact fast path: when all ratings are small multiples of a power of two (half stars, points
//! of 100), the sums of a pair are integers with known maxima, packed as bit fields into one or two
//! 64-bit words. One addition then adds a co-rated item to all sums of a pair at once, exactly.

use core::ops::Range;

use super::{
    inverted::{BLOCK, Inverted, Kind},
    measure::{FIELDS, LANES, N, SXX, SXY, SYY},
};

/// Codes fit in this many bits.
const CODE_BITS: u32 = 7;
/// Codes are below this.
const CODES: usize = 1 << CODE_BITS;
/// Entities must be below this to share a `u32` with a code.
const ENTITIES_END: u32 = 1 << (u32::BITS - CODE_BITS);
/// Rating steps that are tried, coarse first: exact in binary, so no rating is rounded.
const STEPS: [f64; 4] = [1.0, 0.5, 0.25, 0.125];

/// Ratings as `base + step * code`.
#[derive(Debug)]
pub(super) struct Codes {
    pub(super) codes: Vec<u8>,
    pub(super) code_max: u8,
    pub(super) step: f64,
}

/// Codes for the ratings, if they have them: every rating a multiple of the step, and at most 127
/// steps from the smallest (`shift`) or from zero to the largest.
pub(super) fn quantize(values: &[f32], shift: bool) -> Option<Codes> {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if values.is_empty() || (!shift && low < 0.0) {
        return None;
    }
    let base = if shift { f64::from(low) } else { 0.0 };
    STEPS.iter().find_map(|&step| {
        // Exact, as all of these are powers of two.
        let per_step = 1.0 / step;
        let last = (f64::from(high) - base) * per_step;
        if last >= CODES as f64 {
            return None;
        }
        // Both the rating and the base are multiples of the step, so their difference is exact.
        if !is_whole(base * per_step) || !values.chunks(256).all(|v| are_whole(v, per_step)) {
            return None;
        }
        let code = |&v: &f32| ((f64::from(v) - base) * per_step) as u8;
        Some(Codes {
            codes: values.iter().map(code).collect(),
            code_max: last as u8,
            step,
        })
    })
}

/// Whether all are whole numbers of steps. Without branches, for vectors.
fn are_whole(values: &[f32], per_step: f64) -> bool {
    let and = |all, &v: &f32| all & is_whole(f64::from(v) * per_step);
    values.iter().fold(true, and)
}

/// Adding 3 * 2^51 rounds to whole numbers as far as fractions go, which is below 2^51; instructions
/// that every vector unit has.
fn is_whole(steps: f64) -> bool {
    const ROUND: f64 = 3.0 * (1u64 << 51) as f64;
    (steps + ROUND) - ROUND == steps
}

/// Where a sum lies: `(words[word] >> shift) & mask`.
#[derive(Debug, Clone, Copy, Default)]
struct Field {
    word: usize,
    shift: u32,
    mask: u64,
}

/// Places for the sums of up to `common` co-rated items, or `None` if `words` words are too few or
/// a product of sums (n Σx²) could exceed 2^53, beyond which f64 is not exact.
fn layout(fields: &[usize], common: u64, code_max: u8, words: usize) -> Option<[Field; FIELDS]> {
    let code = u64::from(code_max);
    let square_sum = common.checked_mul(code * code)?;
    if common.checked_mul(square_sum.max(1))? >= 1 << 53 {
        return None;
    }
    let mut used = [0; 2];
    let mut layout = [Field::default(); FIELDS];
    for &field in fields {
        let max = match field {
            N => common,
            SXX | SYY | SXY => square_sum,
            _ => common * code,
        };
        let bits = u64::BITS - max.leading_zeros();
        let word = (0..words).find(|&w| used[w] + bits <= u64::BITS)?;
        layout[field] = Field {
            word,
            // A field of no bits may start past the word's end.
            shift: if bits == 0 { 0 } else { used[word] },
            mask: (1u64 << bits) - 1,
        };
        used[word] += bits;
    }
    Some(layout)
}

/// Accumulators of `W` words a pair.
#[derive(Debug)]
pub(super) struct Packed<const W: usize> {
    fields: &'static [usize],
    layout: [Field; FIELDS],
    /// What a co-rated item adds, by own code and then by the other's.
    table: Vec<[[u64; W]; CODES]>,
}

impl<const W: usize> Packed<W> {
    /// For pairs with at most `common` co-rated items.
    pub(super) fn new(
        fields: &'static [usize],
        distance: bool,
        common: u64,
        code_max: u8,
    ) -> Option<Self> {
        let layout = layout(fields, common, code_max, W)?;
        let codes = u64::from(code_max) + 1;
        let mut table = vec![[[0; W]; CODES]; codes as usize];
        for x in 0..codes {
            for y in 0..codes {
                let last = if distance {
                    x.abs_diff(y).pow(2)
                } else {
                    x * y
                };
                let terms = [1, x, y, x * x, y * y, last];
                for &field in fields {
                    let Field { word, shift, .. } = layout[field];
                    table[x as usize][y as usize][word] += terms[field] << shift;
                }
            }
        }
        Some(Self {
            fields,
            layout,
            table,
        })
    }
}

/// The most co-rated items (at most `most`) whose sums fit in one word.
pub(super) fn narrow_common(fields: &[usize], most: u64, code_max: u8) -> u64 {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if layout(fields, middle, code_max, 1).is_some() {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

/// Who rated each item, with the code: `entity << 7 | code`.
#[derive(Debug)]
pub(super) struct CodedLists {
    pub(super) own: Vec<u8>,
    pub(super) lists: Vec<u32>,
}

impl CodedLists {
    /// `None` when there are too many entities for the packing.
    pub(super) fn new(codes: Vec<u8>, entities: u32, inverted: &Inverted) -> Option<Self> {
        if entities > ENTITIES_END {
            return None;
        }
        let mut lists = vec![0; codes.len()];
        for (&code, &position) in codes.iter().zip(&inverted.positions) {
            let position = position as usize;
            lists[position] = inverted.entities[position] << CODE_BITS | u32::from(code);
        }
        Some(Self { own: codes, lists })
    }
}

/// Accumulators together with the lists they walk.
pub(super) struct PackedWalk<'a, const W: usize> {
    pub(super) packed: &'a Packed<W>,
    pub(super) lists: &'a CodedLists,
}

impl<const W: usize> Kind for PackedWalk<'_, W> {
    type Slot = [u64; W];
    const ZERO: [u64; W] = [0; W];

    fn is_zero(slot: &[u64; W]) -> bool {
        // The count of co-rated items is in one of the words.
        *slot == Self::ZERO
    }

    fn add_one(&self, own: usize, position: usize, slot: &mut [u64; W]) {
        let row = &self.packed.table[self.lists.own[own] as usize];
        let terms = &row[self.lists.lists[position] as usize % CODES];
        for (sum, term) in slot.iter_mut().zip(terms) {
            *sum += term;
        }
    }

    fn add(&self, own: usize, list: Range<usize>, slots: &mut [[u64; W]; BLOCK]) {
        let row = &self.packed.table[self.lists.own[own] as usize];
        for &entry in &self.lists.lists[list] {
            let terms = &row[entry as usize % CODES];
            let slot = &mut slots[(entry >> CODE_BITS) as usize % BLOCK];
            for (sum, term) in slot.iter_mut().zip(terms) {
                *sum += term;
            }
        }
    }

    fn add_below(
        &self,
        own: usize,
        list: Range<usize>,
        end: u32,
        slots: &mut [[u64; W]; BLOCK],
    ) -> usize {
        let row = &self.packed.table[self.lists.own[own] as usize];
        let list = &self.lists.lists[list];
        for (i, &entry) in list.iter().enumerate() {
            if entry >> CODE_BITS >= end {
                return i;
            }
            let terms = &row[entry as usize % CODES];
            let slot = &mut slots[(entry >> CODE_BITS) as usize % BLOCK];
            for (sum, term) in slot.iter_mut().zip(terms) {
                *sum += term;
            }
        }
        list.len()
    }

    #[inline(always)]
    fn unpack(&self, slots: &[[u64; W]], sums: &mut [[f64; LANES]; FIELDS]) {
        for &field in self.packed.fields {
            let Field { word, shift, mask } = self.packed.layout[field];
            for (sum, slot) in sums[field].iter_mut().zip(slots) {
                *sum = exact_f64((slot[word] >> shift) & mask);
            }
        }
    }
}

/// An integer below 2^52 as f64, in instructions that every vector unit has: it becomes the
/// mantissa of 2^52 + value.
#[inline(always)]
fn exact_f64(value: u64) -> f64 {
    const TWO_52: f64 = (1u64 << 52) as f64;
    f64::from_bits(value | TWO_52.to_bits()) - TWO_52
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_multiples_have_codes() {
        let half_stars = quantize(&[0.5, 5.0, 3.5], true).unwrap();
        assert_eq!(
            (half_stars.codes.as_slice(), half_stars.step),
            (&[0, 9, 6][..], 0.5)
        );
        let from_zero = quantize(&[0.5, 5.0, 3.5], false).unwrap();
        assert_eq!(from_zero.codes, [1, 10, 7]);
        assert!(quantize(&[4.1, 5.0], true).is_none());
        assert!(quantize(&[1e-20, 100.0], true).is_none());
        assert!(quantize(&[-1.0, 1.0], false).is_none());
        assert_eq!(quantize(&[-3.5, 2.0], true).unwrap().codes, [0, 11]);
        assert_eq!(quantize(&[f32::MAX], true).unwrap().step, 1.0);
        assert!(quantize(&[0.0, 128.0], true).is_none());
        assert_eq!(quantize(&[1e10, 1e10], true).unwrap().code_max, 0);
    }

    #[test]
    fn the_fields_of_fifty_half_star_ratings_share_one_word() {
        let fields = [0, 1, 2, 3, 4, 5];
        assert!(narrow_common(&fields, 1000, 9) >= 50);
        for common in [1, 50, 1000, 10_000] {
            let two = layout(&fields, common, 9, 2).unwrap();
            let bits: u32 = two.iter().map(|f| f.mask.count_ones()).sum();
            assert!(bits <= 128);
        }
        assert!(layout(&fields, 1 << 24, 127, 2).is_none());
    }
}
