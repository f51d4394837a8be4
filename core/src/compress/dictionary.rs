//! Many small values of one kind: a dictionary of what they share, so that each is packed as the
//! difference from it. LZ4 blocks against a dictionary, the same bytes in every build.
//!
//! Training follows COVER (Liao, Petri, Moffat, Wirth: "Effective Construction of Relative
//! Lempel-Ziv Dictionaries", WWW 2016) in the form of zstd's fastCover: strings of [`GRAM`] bytes
//! are counted by their hash, and from each part of the samples the segment is taken whose strings
//! are the most frequent; strings that were taken count no more.

use super::{Codec, CompressError};

/// Bytes of the strings that are counted.
const GRAM: usize = 8;
/// Bytes of a segment.
const SEGMENT: usize = 48;
/// Counters: 2^this.
const COUNTERS_LOG: u32 = 18;
/// LZ4 looks back no further.
const DICTIONARY_MAX: usize = 64 << 10;
/// Samples beyond this many bytes are not looked at.
const SAMPLES_MAX: usize = 16 << 20;

/// What values of one kind share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dictionary {
    bytes: Box<[u8]>,
}

impl Dictionary {
    /// A dictionary of at most `max_bytes` (no more than 64 KiB) for values like `samples`, of
    /// which the first 16 MiB are looked at. 100 times its size in samples are plenty. O(samples).
    /// Without samples it is empty, which packs like [`super::pack_block`].
    #[must_use]
    pub fn train<'a>(samples: impl IntoIterator<Item = &'a [u8]>, max_bytes: usize) -> Self {
        let max_bytes = max_bytes.min(DICTIONARY_MAX);
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for sample in samples {
            if text.len() + sample.len() > SAMPLES_MAX {
                break;
            }
            text.extend_from_slice(sample);
            ends.push(text.len());
        }
        if text.len() <= max_bytes {
            return Self { bytes: text.into() };
        }
        let mut counts = count(&text, &ends);
        let parts = (max_bytes / SEGMENT).max(1);
        let mut taken: Vec<(u64, &[u8])> = text
            .chunks(text.len().div_ceil(parts).max(SEGMENT))
            .filter_map(|part| best_segment(part, &mut counts))
            .collect();
        // The best last: what lies behind is within reach of the longest values.
        taken.sort_by_key(|&(score, _)| score);
        let mut bytes: Vec<u8> = taken.into_iter().flat_map(|(_, s)| s).copied().collect();
        bytes.drain(..bytes.len().saturating_sub(max_bytes));
        Self {
            bytes: bytes.into(),
        }
    }

    /// A dictionary that [`Self::bytes`] gave; of more than 64 KiB the last count.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let start = bytes.len().saturating_sub(DICTIONARY_MAX);
        Self {
            bytes: bytes.get(start..).unwrap_or_default().into(),
        }
    }

    /// Its bytes, to keep beside what it packed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// One LZ4 block, without a frame or checksum, that needs this dictionary to be read.
    /// O(input + dictionary).
    #[must_use]
    pub fn pack(&self, input: &[u8]) -> Vec<u8> {
        lz4_flex::block::compress_with_dict(input, &self.bytes)
    }

    /// The `len` bytes that [`Self::pack`] took.
    ///
    /// # Errors
    /// [`CompressError::Corrupt`] when they are not what comes out, as with another dictionary;
    /// not always, for there is no checksum.
    pub fn unpack(&self, block: &[u8], len: usize) -> Result<Vec<u8>, CompressError> {
        let corrupt = || CompressError::Corrupt {
            codec: Codec::Lz4,
            at: block.len(),
            reason: "not a block of that length and dictionary".to_owned(),
        };
        let out = lz4_flex::block::decompress_with_dict(block, len, &self.bytes);
        out.ok().filter(|out| out.len() == len).ok_or_else(corrupt)
    }
}

fn slot(gram: &[u8]) -> usize {
    let gram = gram.first_chunk::<GRAM>().copied().unwrap_or_default();
    // Fibonacci hashing: the upper bits of the product depend on all of the string.
    let hash = u64::from_le_bytes(gram).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> (u64::BITS - COUNTERS_LOG)) as usize
}

/// How many samples have each string: one sample's repetitions say nothing of the others.
fn count(text: &[u8], ends: &[usize]) -> Vec<u32> {
    let mut counts = vec![0u32; 1 << COUNTERS_LOG];
    // The last sample that was counted for a string, plus one.
    let mut seen = vec![0u32; 1 << COUNTERS_LOG];
    let mut start = 0;
    for (number, &end) in (1..).zip(ends) {
        for gram in text[start..end].windows(GRAM) {
            let slot = slot(gram);
            if seen[slot] != number {
                seen[slot] = number;
                counts[slot] += 1;
            }
        }
        start = end;
    }
    // What one sample alone has helps none.
    counts
        .iter_mut()
        .for_each(|count| *count -= u32::from(*count > 0));
    counts
}

/// The segment of `part` with the most frequent strings, which count no more from now on.
fn best_segment<'a>(part: &'a [u8], counts: &mut [u32]) -> Option<(u64, &'a [u8])> {
    let grams = SEGMENT - GRAM + 1;
    let slots: Vec<usize> = part.windows(GRAM).map(slot).collect();
    let score = |slots: &[usize]| slots.iter().map(|&s| u64::from(counts[s])).sum::<u64>();
    let mut now = score(slots.get(..grams).unwrap_or(&slots));
    let mut best = (now, 0);
    for at in 1..(slots.len() + 1).saturating_sub(grams) {
        now -= u64::from(counts[slots[at - 1]]);
        now += u64::from(counts[slots[at + grams - 1]]);
        if now > best.0 {
            best = (now, at);
        }
    }
    let (score, at) = best;
    if score == 0 {
        return None;
    }
    let end = (at + grams).min(slots.len());
    slots
        .get(at..end)?
        .iter()
        .for_each(|&slot| counts[slot] = 0);
    Some((score, part.get(at..(at + SEGMENT).min(part.len()))?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(count: usize) -> Vec<Vec<u8>> {
        let record = |n: usize| {
            format!(
                "{{\"id\":{n},\"type\":\"{}\",\"country\":\"{}\",\"price\":{}.5,\"stock\":{}}}",
                ["Red", "White", "Sparkling"][n % 3],
                ["France", "Italy", "Portugal", "Argentina"][n * 7 % 4],
                n * 31 % 97,
                n * 13 % 24
            )
        };
        (0..count).map(|n| record(n).into_bytes()).collect()
    }

    #[test]
    fn small_records_are_packed_much_smaller() {
        let all = records(2000);
        let (samples, others) = all.split_at(1000);
        let dictionary = Dictionary::train(samples.iter().map(Vec::as_slice), 4096);
        assert!(dictionary.bytes().len() <= 4096);
        let size = |pack: &dyn Fn(&[u8]) -> Vec<u8>| -> usize {
            others.iter().map(|record| pack(record).len()).sum()
        };
        let (with, without) = (
            size(&|r| dictionary.pack(r)),
            size(&super::super::pack_block),
        );
        assert!(with * 2 < without, "{with} against {without}");
        for record in others {
            let packed = dictionary.pack(record);
            assert_eq!(dictionary.unpack(&packed, record.len()).unwrap(), *record);
        }
    }

    #[test]
    fn training_gives_the_same_bytes_and_keeps_its_bound() {
        let all = records(500);
        let train = |max| Dictionary::train(all.iter().map(Vec::as_slice), max);
        assert_eq!(train(2000), train(2000));
        for max in [0, 1, 47, 48, 1000, usize::MAX] {
            assert!(train(max).bytes().len() <= max.min(DICTIONARY_MAX));
        }
        assert_eq!(Dictionary::train([], 100).bytes(), b"");
        let kept = train(2000);
        assert_eq!(Dictionary::from_bytes(kept.bytes()), kept);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let dictionary = Dictionary::from_bytes(b"a barolo of the year 2016");
        let packed = dictionary.pack(b"a barolo of the year 2019");
        assert!(dictionary.unpack(&packed, 24).is_err());
        assert!(dictionary.unpack(&packed, 26).is_err());
        assert!(Dictionary::from_bytes(b"").unpack(&packed, 25).is_err());
    }

    proptest! {
        #[test]
        fn anything_comes_back(
            samples in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20),
            max in 0usize..3000,
            value in proptest::collection::vec(0u8..4, 0..500),
            noise in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let dictionary = Dictionary::train(samples.iter().map(Vec::as_slice), max);
            let packed = dictionary.pack(&value);
            prop_assert_eq!(dictionary.unpack(&packed, value.len()).unwrap(), value);
            // Whatever it says, it says it without a panic.
            let _ = dictionary.unpack(&noise, 100);
        }
    }
}
