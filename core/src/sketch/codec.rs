//! The Bloom filter as bytes, all integers little-endian: magic and version (8), bits (8), seed
//! (8), hashes (4), zero (4), the words, XXH3-64 of all that (8).

use twox_hash::XxHash3_64;

use super::bloom::{BITS_MAX, BloomFilter, HASHES_MAX, SketchError, count_ones};

const MAGIC: u64 = u64::from_le_bytes(*b"SommBF\0\x01");
const HEADER_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 8;

impl BloomFilter {
    /// The filter as bytes, the same on every platform: 40 more than [`Self::memory_usage`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let len = HEADER_BYTES + self.memory_usage() + CHECKSUM_BYTES;
        let mut bytes = Vec::with_capacity(len);
        for field in [MAGIC, self.bits, self.seed, u64::from(self.hashes)] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        for word in &self.words {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&XxHash3_64::oneshot(&bytes).to_le_bytes());
        bytes
    }

    /// The filter that [`Self::to_bytes`] wrote. Allocates at most what `bytes` holds.
    ///
    /// # Errors
    /// [`SketchError::Format`] when the bytes are cut, changed, or of another format;
    /// [`SketchError::Bits`] and [`SketchError::Hashes`] when out of range.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let length = |expected: usize| SketchError::Format {
            what: "length",
            found: bytes.len() as u64,
            expected: expected as u64,
        };
        let Some((body, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(length(HEADER_BYTES + CHECKSUM_BYTES));
        };
        let (fields, rest) = body.as_chunks::<8>();
        let ([magic, bits, seed, hashes, words @ ..], []) = (fields, rest) else {
            return Err(length(HEADER_BYTES + CHECKSUM_BYTES));
        };
        let [magic, bits, seed, hashes] =
            [magic, bits, seed, hashes].map(|f| u64::from_le_bytes(*f));
        if magic != MAGIC {
            return Err(SketchError::Format {
                what: "magic",
                found: magic,
                expected: MAGIC,
            });
        }
        if bits == 0 || bits > BITS_MAX {
            return Err(SketchError::Bits { bits });
        }
        if hashes == 0 || hashes > u64::from(HASHES_MAX) {
            let hashes = u32::try_from(hashes).unwrap_or(u32::MAX);
            return Err(SketchError::Hashes { hashes });
        }
        let words_expected = bits.div_ceil(64);
        if words.len() as u64 != words_expected {
            return Err(length(
                HEADER_BYTES + 8 * words_expected as usize + CHECKSUM_BYTES,
            ));
        }
        let (found, expected) = (XxHash3_64::oneshot(body), u64::from_le_bytes(*checksum));
        if found != expected {
            return Err(SketchError::Format {
                what: "checksum",
                found,
                expected,
            });
        }
        let words: Box<[u64]> = words.iter().map(|w| u64::from_le_bytes(*w)).collect();
        let stray = words.last().map_or(0, |&last| match bits % 64 {
            0 => 0,
            used => last >> used,
        });
        if stray != 0 {
            return Err(SketchError::Format {
                what: "padding",
                found: stray,
                expected: 0,
            });
        }
        let ones = count_ones(&words);
        Ok(Self {
            words,
            bits,
            hashes: hashes as u32,
            seed,
            ones,
        })
    }
}
