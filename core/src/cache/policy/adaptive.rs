//! The policy that learns: three ways of keeping entries, and shadows that tell which one pays.

use super::shadows::{SAMPLE, Shadows};
use super::tiers::Tiers;
use super::way::Way;
use super::{Admission, NewPolicy, Policy};

/// Bytes that [`Adaptive`] keeps for an entry beyond what LRU keeps: 16 of its place in a list
/// instead of 8, and 4 for each of two keys that were given up.
pub const ADAPTIVE_ENTRY_BYTES: u64 = 16;
/// Bytes at most that [`Adaptive`] keeps for a cache, whatever its size.
pub const ADAPTIVE_FIXED_BYTES: u64 = 16 << 10;

/// A shadow is smaller than the cache by this factor at least.
const RATE_MIN: usize = 4;
/// One hit, in the score's fixed point.
const HIT: i64 = 1 << 20;
/// The score halves in 10 accesses for each key of a shadow: 10 / ln 2 of them are 1/e. With
/// less, a loop of twice the cache's size is left for a rule that only luck made better.
const MEMORY_PERCENT: usize = 1443;
/// A way is taken when its score is higher by one hit for so many keys of a shadow.
const DECIDES: i64 = 25;

/// Keeps what pays, whatever the use is: recency, frequency, loops, scans, or one after the other.
///
/// An entry is on probation until it has proved itself (a scan passes through and leaves), keys
/// given up lately are remembered without their values (what comes back was given up too early),
/// and three rules say what a proof is:
///
/// - the time between two accesses, as LIRS has it (Jiang, Zhang, SIGMETRICS 2002): for loops and
///   scans. What was proved once does not stay for ever: a main list that nobody asks for gives
///   way to new entries at once, so that streams of recency hit as under LRU;
/// - two hits, or one soon after, as S3-FIFO has it (Yang et al., SOSP 2023), with a window of a
///   fifth (more in small caches) and more keys remembered: for databases, the web, and what
///   changes;
/// - the same with a small window and high counters: for lasting differences of frequency.
///
/// Accesses of one key in quick succession are one use and prove nothing.
///
/// Which rule is in force is decided by a duel (Qureshi et al., ISCA 2007): for each rule a shadow
/// holds 128 keys at most, without values, of a sample by hash (of a cache below 512 entries a
/// quarter of its size), and the cache goes by the rule whose shadow has hit most lately. Nothing
/// here is random and no clock is read: the same accesses give the same evictions.
///
/// Where bytes are what is short, the window's share is one of bytes too, so that large values
/// asked for once push out each other and not the small ones that are asked for again.
///
/// A hit allocates nothing and touches 16 bytes, or relinks them, beside the index and the entry;
/// every operation is O(1) amortized. An entry costs [`ADAPTIVE_ENTRY_BYTES`] beyond LRU, the
/// shadows [`ADAPTIVE_FIXED_BYTES`] at most. Accesses are counted in 32 bits: what was not asked
/// for during 2^32 of them may be taken for new once more.
#[derive(Debug, Clone)]
pub struct Adaptive {
    tiers: Tiers,
    shadows: Shadows,
    /// Keys that each shadow holds.
    sample: usize,
    /// Entries for which `sample` and `below` were computed.
    entries: usize,
    /// Keys are in the sample whose 32 bits are below this.
    below: u64,
    /// Hits of each shadow, fading.
    scores: [i64; 3],
    /// What of a score fades with an access, in 2^-32.
    fades: i64,
    /// By how much a score must be higher than that of the way in force.
    decides: i64,
}

impl Adaptive {
    /// Shows an access to the shadows if its key is in the sample.
    #[inline]
    fn observe(&mut self, hash: u64) {
        // Other bits than those by which a shadow's ghosts find their place.
        let mixed = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        if mixed >> 32 < self.below {
            self.compare(hash);
        }
    }

    /// Asks the shadows for a key, and goes the way of the best.
    #[inline(never)]
    fn compare(&mut self, hash: u64) {
        let held = self.shadows.access(hash);
        let mut best = (Way::Reuse, i64::MIN);
        let mut present = 0;
        for ((score, held), way) in self.scores.iter_mut().zip(held).zip(Way::ALL) {
            *score += HIT * i64::from(held) - ((*score * self.fades) >> 32);
            if *score > best.1 {
                best = (way, *score);
            }
            if way == self.tiers.way() {
                present = *score;
            }
        }
        if best.1 - present > self.decides {
            self.tiers.set_way(best.0);
        }
    }

    /// Follows the number of entries that there is room for.
    fn follow(&mut self) {
        let entries = self.tiers.entries();
        if entries == self.entries {
            return;
        }
        self.entries = entries;
        self.sample = SAMPLE.min(entries / RATE_MIN).max(1);
        self.below = ((self.sample as u64) << 32) / entries as u64;
        // No score is more than `HIT` for each access remembered, which are 1,847 at most: 2^31.
        let memory = (self.sample * MEMORY_PERCENT / 100).max(1);
        self.fades = (1 << 32) / memory as i64;
        self.decides = self.sample as i64 * HIT / DECIDES;
        self.shadows.set_entries(self.sample, entries);
    }
}

impl NewPolicy for Adaptive {
    fn new(max_entries: usize, max_weight_bytes: u64) -> Self {
        let mut new = Self {
            tiers: Tiers::new(max_entries.max(1), max_weight_bytes, Way::Reuse),
            shadows: Shadows::new(),
            sample: 1,
            entries: 0,
            below: 0,
            scores: [0; 3],
            fades: 0,
            decides: 0,
        };
        new.follow();
        new
    }
}

impl Policy for Adaptive {
    fn entry_bytes(&self) -> u64 {
        ADAPTIVE_ENTRY_BYTES
    }

    #[inline]
    fn hit(&mut self, slot: u32, hash: u64) {
        self.observe(hash);
        self.tiers.hit(slot);
    }

    #[inline]
    fn expect(&self, hash: u64) {
        self.tiers.expect(hash);
    }

    fn replaced(&mut self, slot: u32, hash: u64, charge: u64) {
        self.observe(hash);
        self.tiers.replaced(slot, charge);
    }

    fn reweigh(&mut self, slot: u32, charge: u64) {
        self.tiers.reweigh(slot, charge);
    }

    fn admit(&mut self, hash: u64, charge: u64, full: bool) -> Admission {
        self.observe(hash);
        let admission = self.tiers.admit(hash, charge, full);
        self.follow();
        admission
    }

    fn push(&mut self, admission: Admission, charge: u64) {
        self.tiers.push(admission, charge);
    }

    fn take_over(&mut self, slot: u32, old: u64, admission: Admission, charge: u64) {
        self.tiers.evicted(slot, old);
        self.tiers.take_over(slot, admission, charge);
    }

    fn victim(&mut self, keep: Option<u32>) -> Option<u32> {
        self.tiers.victim(keep)
    }

    #[inline]
    fn upcoming(&self) -> [Option<u32>; 2] {
        self.tiers.upcoming()
    }

    fn evicted(&mut self, slot: u32, hash: u64) {
        self.tiers.evicted(slot, hash);
    }

    fn swap_remove(&mut self, slot: u32) {
        self.tiers.swap_remove(slot);
    }

    fn first(&self) -> Option<u32> {
        self.tiers.first()
    }

    fn after(&self, slot: u32) -> Option<u32> {
        self.tiers.after(slot)
    }

    fn clear(&mut self) {
        self.tiers.clear(Way::Reuse);
        self.shadows.clear();
        self.scores = [0; 3];
        self.follow();
    }

    fn reserve_exact(&mut self, more: usize) {
        self.tiers.reserve_exact(more);
    }

    fn allocated_bytes(&self) -> usize {
        self.tiers.allocated_bytes() + self.shadows.allocated_bytes()
    }
}
