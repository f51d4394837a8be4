//! The Bloom filter: a set that never forgets a member and rarely claims a stranger.

use thiserror::Error;
use twox_hash::XxHash3_128;

/// Most bits of one filter: 2^33, which is 1 GiB.
pub const BITS_MAX: u64 = 1 << 33;
/// Most hashes of one filter. The best number is -log2(false-positive rate), so 32 serves rates
/// down to 2.3e-10.
pub const HASHES_MAX: u32 = 32;

/// What a sketch refuses.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum SketchError {
    /// Bits out of range.
    #[error("Bloom filter of {bits} bits: must be 1 to {BITS_MAX}")]
    Bits {
        /// Bits asked for, or needed for the rate asked for.
        bits: u64,
    },
    /// Hashes out of range.
    #[error("Bloom filter with {hashes} hashes: must be 1 to {HASHES_MAX}")]
    Hashes {
        /// Hashes asked for.
        hashes: u32,
    },
    /// A false-positive rate that is no rate.
    #[error("false-positive rate is {rate}: must be above 0 and below 1")]
    Rate {
        /// The rate asked for.
        rate: f64,
    },
    /// A filter for nothing.
    #[error("expected items is 0: must be at least 1")]
    NoItems,
    /// Two filters that put the same item on different bits.
    #[error("cannot merge Bloom filters of different {what}: {ours} and {theirs}")]
    Mismatch {
        /// Which property differs.
        what: &'static str,
        /// Its value here.
        ours: u64,
        /// Its value there.
        theirs: u64,
    },
    /// Bytes that are not a filter of ours.
    #[error("not a Bloom filter: {what} is {found}, expected {expected}")]
    Format {
        /// Which part is wrong.
        what: &'static str,
        /// What is there.
        found: u64,
        /// What would be right.
        expected: u64,
    },
}

/// A set of byte strings with false positives and no false negatives (Bloom, "Space/time
/// trade-offs in hash coding with allowable errors", CACM 13(7), 1970).
///
/// An item sets `hashes` bits. With `m` bits, `k` hashes and `n` items a stranger is claimed with
/// probability (1 - e^(-kn/m))^k. The bits of an item come from the two halves of one seeded
/// XXH3-128 hash by enhanced double hashing: as good as `k` independent hashes for large filters
/// (Kirsch and Mitzenmacher, "Less hashing, same performance", ESA 2006; Dillinger and Manolios,
/// "Bloom filters in probabilistic verification", FMCAD 2004). A hash becomes a bit number by
/// multiplication (Lemire, "Fast random integer generation in an interval", 2019), so any number
/// of bits will do.
///
/// `add` and `contains` cost O(length of the item + hashes); a bit costs 0.125 bytes. Filters are
/// the same, to the byte, on every platform.
///
/// ```
/// use sommos_core::sketch::BloomFilter;
///
/// let mut seen = BloomFilter::for_items(10_000, 0.01, 7)?;
/// seen.add(b"barolo 2016");
/// assert!(seen.contains(b"barolo 2016"));
/// assert!(!seen.contains(b"cava"));
/// assert_eq!(seen.memory_usage(), 12_024);
/// # Ok::<(), sommos_core::sketch::SketchError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BloomFilter {
    pub(super) words: Box<[u64]>,
    pub(super) bits: u64,
    pub(super) hashes: u32,
    pub(super) seed: u64,
    /// Bits that are set.
    pub(super) ones: u64,
}

impl BloomFilter {
    /// An empty filter of this many bits that sets `hashes` bits an item.
    ///
    /// # Errors
    /// [`SketchError::Bits`] or [`SketchError::Hashes`] when out of range.
    pub fn new(bits: u64, hashes: u32, seed: u64) -> Result<Self, SketchError> {
        if bits == 0 || bits > BITS_MAX {
            return Err(SketchError::Bits { bits });
        }
        if hashes == 0 || hashes > HASHES_MAX {
            return Err(SketchError::Hashes { hashes });
        }
        let words = vec![0; bits.div_ceil(64) as usize].into();
        Ok(Self {
            words,
            bits,
            hashes,
            seed,
            ones: 0,
        })
    }

    /// An empty filter that claims strangers at `rate` once it holds `items`. With `k` hashes that
    /// takes -kn / ln(1 - rate^(1/k)) bits (the rate formula solved for `m`), least at
    /// k = -log2(rate) (Broder and Mitzenmacher, "Network applications of Bloom filters", 2004,
    /// section 2). The least is flat, so the fewest hashes within 1 % of it are taken: time that
    /// costs next to no space.
    ///
    /// # Errors
    /// [`SketchError`] when `items` is 0, `rate` is not within (0, 1) or needs more than
    /// [`HASHES_MAX`] hashes, or the bits exceed [`BITS_MAX`].
    pub fn for_items(items: u64, rate: f64, seed: u64) -> Result<Self, SketchError> {
        if items == 0 {
            return Err(SketchError::NoItems);
        }
        if rate.is_nan() || rate <= 0.0 || rate >= 1.0 {
            return Err(SketchError::Rate { rate });
        }
        // Float to integer conversion saturates: what is too much stays too much.
        let best = (-libm::log2(rate)).round().max(1.0) as u32;
        if best > HASHES_MAX {
            return Err(SketchError::Hashes { hashes: best });
        }
        let bits_an_item = |hashes: u32| {
            let k = f64::from(hashes);
            -k / libm::log1p(-libm::pow(rate, 1.0 / k))
        };
        let enough = bits_an_item(best) * 1.01;
        let hashes = (1..best)
            .find(|&k| bits_an_item(k) <= enough)
            .unwrap_or(best);
        let bits = (items as f64 * bits_an_item(hashes)).ceil().max(1.0) as u64;
        Self::new(bits, hashes, seed)
    }

    /// Adds an item; whether any of its bits was clear before, which proves that it is new.
    pub fn add(&mut self, item: &[u8]) -> bool {
        let mut fresh = 0;
        let mut probe = Probe::new(item, self.seed);
        for _ in 0..self.hashes {
            let (word, bit) = probe.next(self.bits);
            let before = self.words[word];
            self.words[word] = before | 1 << bit;
            fresh += !before >> bit & 1;
        }
        self.ones += fresh;
        fresh > 0
    }

    /// Whether the item may have been added: certain when false.
    pub fn contains(&self, item: &[u8]) -> bool {
        let mut probe = Probe::new(item, self.seed);
        (0..self.hashes).all(|_| {
            let (word, bit) = probe.next(self.bits);
            self.words[word] >> bit & 1 == 1
        })
    }

    /// Adds every item of `other`. O(bits / 64).
    ///
    /// # Errors
    /// [`SketchError::Mismatch`] unless both have the same bits, hashes and seed.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        for (what, ours, theirs) in [
            ("bits", self.bits, other.bits),
            ("hashes", u64::from(self.hashes), u64::from(other.hashes)),
            ("seeds", self.seed, other.seed),
        ] {
            if ours != theirs {
                return Err(SketchError::Mismatch { what, ours, theirs });
            }
        }
        for (ours, theirs) in self.words.iter_mut().zip(&other.words) {
            *ours |= theirs;
        }
        self.ones = count_ones(&self.words);
        Ok(())
    }

    /// Forgets every item.
    pub fn clear(&mut self) {
        self.words.fill(0);
        self.ones = 0;
    }

    /// How many different items were added, by the share of set bits: -(m/k) ln(1 - x/m) (Swamidass
    /// and Baldi, "Mathematical correction for fingerprint similarity measures", 2007). A full
    /// filter tells a lower bound, that of one clear bit. O(1).
    pub fn estimated_count(&self) -> f64 {
        let m = self.bits as f64;
        let ones = self.ones.min(self.bits - 1) as f64;
        -m / f64::from(self.hashes) * libm::log1p(-ones / m)
    }

    /// Probability that a stranger is claimed now: the share of set bits to the power of hashes.
    pub fn false_positive_rate(&self) -> f64 {
        libm::pow(self.ones as f64 / self.bits as f64, f64::from(self.hashes))
    }

    /// Bits of the filter.
    pub fn bits(&self) -> u64 {
        self.bits
    }

    /// Bits that an item sets.
    pub fn hashes(&self) -> u32 {
        self.hashes
    }

    /// The seed of its hash.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Bytes that its bits occupy: bits / 8, rounded up to whole 64-bit words.
    pub fn memory_usage(&self) -> usize {
        size_of_val(&*self.words)
    }
}

pub(super) fn count_ones(words: &[u64]) -> u64 {
    words.iter().map(|word| u64::from(word.count_ones())).sum()
}

/// The sequence of an item's bits: enhanced double hashing (Dillinger and Manolios 2004, 5.2).
struct Probe {
    hash: u64,
    step: u64,
    round: u64,
}

impl Probe {
    #[inline]
    fn new(item: &[u8], seed: u64) -> Self {
        let hash = XxHash3_128::oneshot_with_seed(seed, item);
        Self {
            hash: hash as u64,
            step: (hash >> 64) as u64,
            round: 0,
        }
    }

    /// Word and bit of the next bit.
    #[inline]
    fn next(&mut self, bits: u64) -> (usize, u32) {
        let at = ((u128::from(self.hash) * u128::from(bits)) >> 64) as u64;
        self.round += 1;
        self.hash = self.hash.wrapping_add(self.step);
        // The cubic term, carried to the high bits that choose the bit number.
        self.step = self.step.wrapping_add(self.round << 32);
        ((at / 64) as usize, (at % 64) as u32)
    }
}
