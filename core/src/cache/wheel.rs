//! Which entries expire when: a hierarchical timer wheel over slot numbers.
//!
//! Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987, scheme 7: level `k` has
//! 64 buckets of 64^k ms; 11 levels cover every 64-bit deadline to the millisecond. A deadline lies
//! on the level of the highest bit in which it differs from the wheel's time, so all deadlines of
//! one level lie before those of the next and within a level the buckets run forward. Scheduling
//! and cancelling are O(1); an entry sinks at most 10 levels before it is due, so expiry is O(1)
//! amortized. A bitmap per level finds the next bucket without stepping through time.

use crate::time::Timestamp;

const BITS: u32 = 6;
const BUCKETS: usize = 1 << BITS;
const LEVELS: usize = u64::BITS.div_ceil(BITS) as usize;
/// The bucket of deadlines that are not after the wheel's time.
const DUE: usize = LEVELS * BUCKETS;
const NIL: u32 = u32::MAX;
/// In `Timer::prev`: the timer is the first of the bucket in the low bits.
const FIRST: u32 = 1 << 31;
/// The wheel is rebuilt when the clock goes back further than this; less is taken for the jitter
/// of callers that read the clock before they wait for a lock.
pub(super) const JITTER_MS: u64 = 1000;

/// One slot's place in a bucket.
#[derive(Debug, Clone, Copy)]
struct Timer {
    prev: u32,
    next: u32,
}

/// Not in any bucket.
const IDLE: Timer = Timer {
    prev: NIL,
    next: NIL,
};

/// The wheel. Without a deadline in use it holds no memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Wheel {
    /// All deadlines up to here are in the bucket DUE.
    elapsed: u64,
    /// No deadline in the bucket DUE is earlier.
    due_min: u64,
    /// By slot; shorter than the slots when the last of them never had a deadline.
    timers: Vec<Timer>,
    /// First slot of each bucket.
    heads: Box<[u32]>,
    /// Bit `b` of level `k`: the bucket `k * 64 + b` is not empty.
    occupied: [u64; LEVELS],
    /// Slots in buckets.
    len: usize,
    /// No deadline is earlier: until then nothing need be looked for.
    quiet_until: u64,
}

impl Wheel {
    /// Schedules an idle slot, unless its deadline is never.
    #[inline]
    pub(super) fn schedule(&mut self, slot: u32, deadline: Timestamp) {
        if deadline != Timestamp::FAR_FUTURE {
            self.start(slot, deadline);
        }
    }

    fn start(&mut self, slot: u32, deadline: Timestamp) {
        if self.heads.is_empty() {
            self.heads = vec![NIL; DUE + 1].into();
        }
        if self.timers.len() <= slot as usize {
            self.timers.resize(slot as usize + 1, IDLE);
        }
        if self.len == 0 {
            self.quiet_until = u64::MAX;
        }
        self.len += 1;
        self.link(slot, deadline.0);
    }

    /// Room for timers of exactly `slots` slots, once timers are in use.
    pub(super) fn reserve_exact(&mut self, slots: usize) {
        if !self.heads.is_empty() {
            self.timers
                .reserve_exact(slots.saturating_sub(self.timers.len()));
        }
    }

    /// Makes a slot idle if it is not.
    #[inline]
    pub(super) fn cancel(&mut self, slot: u32) {
        if self
            .timers
            .get(slot as usize)
            .is_some_and(|t| t.prev != NIL)
        {
            self.len -= 1;
            self.unlink(slot);
        }
    }

    /// Slot `from`, the last of all, becomes `to`, which is idle.
    pub(super) fn renumber(&mut self, from: u32, to: u32) {
        let Some(&moved) = self.timers.get(from as usize) else {
            return;
        };
        self.timers.truncate(from as usize);
        if from == to {
            return;
        }
        self.timers[to as usize] = moved;
        if moved.prev == NIL {
            return;
        }
        if moved.prev & FIRST == 0 {
            self.timers[moved.prev as usize].next = to;
        } else {
            self.heads[(moved.prev & !FIRST) as usize] = to;
        }
        if moved.next != NIL {
            self.timers[moved.next as usize].prev = to;
        }
    }

    /// A slot whose deadline is not after `now`, still scheduled; none when there is none. O(1)
    /// amortized; while the clock is back by up to [`JITTER_MS`], O(deadlines in that time).
    #[inline]
    pub(super) fn due(
        &mut self,
        now: Timestamp,
        deadline: impl Fn(u32) -> Timestamp,
    ) -> Option<u32> {
        if self.len == 0 {
            self.elapsed = now.0;
            self.quiet_until = u64::MAX;
            return None;
        }
        if now.0 < self.quiet_until {
            return None;
        }
        self.advance(now, deadline)
    }

    /// False only when nothing is due. O(1).
    #[inline]
    pub(super) fn may_be_due(&self, now: Timestamp) -> bool {
        self.len > 0 && now.0 >= self.quiet_until
    }

    fn advance(&mut self, now: Timestamp, deadline: impl Fn(u32) -> Timestamp) -> Option<u32> {
        if now.0 < self.elapsed {
            if self.elapsed - now.0 <= JITTER_MS {
                return self.due_before_elapsed(now, deadline);
            }
            self.rebuild(now, &deadline);
        }
        loop {
            let head = self.heads[DUE];
            if head != NIL {
                return Some(head);
            }
            match self.next_bucket() {
                Some((bucket, start)) if start <= now.0 => self.sink(bucket, start, &deadline),
                next => {
                    self.elapsed = now.0;
                    self.quiet_until = next.map_or(u64::MAX, |(_, start)| start);
                    return None;
                }
            }
        }
    }

    /// As `due`, while the clock is behind the wheel's time: not all of the bucket DUE is due.
    #[cold]
    fn due_before_elapsed(
        &mut self,
        now: Timestamp,
        deadline: impl Fn(u32) -> Timestamp,
    ) -> Option<u32> {
        if self.heads[DUE] == NIL || now.0 < self.due_min {
            return None;
        }
        let mut due_min = u64::MAX;
        let mut slot = self.heads[DUE];
        while slot != NIL {
            let deadline = deadline(slot);
            if deadline <= now {
                return Some(slot);
            }
            due_min = due_min.min(deadline.0);
            slot = self.timers[slot as usize].next;
        }
        self.due_min = due_min;
        None
    }

    /// The earliest moment at which a slot may be due: at most the first deadline. O(1).
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        if self.len == 0 {
            return None;
        }
        if self.heads[DUE] != NIL {
            return Some(Timestamp(self.due_min));
        }
        // Both are bounds from below; the later one spares the caller a wake-up.
        self.next_bucket()
            .map(|(_, start)| Timestamp(start.max(self.quiet_until)))
    }

    pub(super) fn clear(&mut self) {
        self.timers.clear();
        self.heads.fill(NIL);
        self.occupied = [0; LEVELS];
        self.len = 0;
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.timers.capacity() * size_of::<Timer>() + size_of_val(&*self.heads)
    }

    /// The first bucket that is not empty, and its first moment.
    fn next_bucket(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|&bits| bits != 0)?;
        let bucket = self.occupied[level].trailing_zeros();
        let shift = BITS * level as u32;
        // The bits above this level are those of the wheel's time.
        let above = u64::MAX.checked_shl(shift + BITS).unwrap_or(0);
        let start = (self.elapsed & above) | u64::from(bucket) << shift;
        Some((level * BUCKETS + bucket as usize, start))
    }

    /// Moves the wheel's time to the start of its next bucket and that bucket's slots down.
    fn sink(&mut self, bucket: usize, start: u64, deadline: &impl Fn(u32) -> Timestamp) {
        self.elapsed = start;
        let mut slot = core::mem::replace(&mut self.heads[bucket], NIL);
        self.occupied[bucket / BUCKETS] &= !(1 << (bucket % BUCKETS));
        while slot != NIL {
            let next = self.timers[slot as usize].next;
            self.link(slot, deadline(slot).0);
            slot = next;
        }
    }

    /// Sorts every timer anew after the clock went back. O(slots).
    #[cold]
    fn rebuild(&mut self, now: Timestamp, deadline: &impl Fn(u32) -> Timestamp) {
        self.elapsed = now.0;
        self.heads.fill(NIL);
        self.occupied = [0; LEVELS];
        for slot in 0..self.timers.len() as u32 {
            if self.timers[slot as usize].prev != NIL {
                self.link(slot, deadline(slot).0);
            }
        }
    }

    fn bucket_of(&self, deadline: u64) -> usize {
        if deadline <= self.elapsed {
            return DUE;
        }
        let highest = (deadline ^ self.elapsed).ilog2();
        let level = highest / BITS;
        let bucket = (deadline >> (level * BITS)) as usize % BUCKETS;
        level as usize * BUCKETS + bucket
    }

    fn link(&mut self, slot: u32, deadline: u64) {
        self.quiet_until = self.quiet_until.min(deadline);
        let bucket = self.bucket_of(deadline);
        let next = core::mem::replace(&mut self.heads[bucket], slot);
        if next != NIL {
            self.timers[next as usize].prev = slot;
        }
        if bucket == DUE {
            self.due_min = if next == NIL {
                deadline
            } else {
                self.due_min.min(deadline)
            };
        }
        self.timers[slot as usize] = Timer {
            prev: FIRST | bucket as u32,
            next,
        };
        if let Some(bits) = self.occupied.get_mut(bucket / BUCKETS) {
            *bits |= 1 << (bucket % BUCKETS);
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Timer { prev, next } = core::mem::replace(&mut self.timers[slot as usize], IDLE);
        if next != NIL {
            self.timers[next as usize].prev = prev;
        }
        if prev & FIRST == 0 {
            self.timers[prev as usize].next = next;
            return;
        }
        let bucket = (prev & !FIRST) as usize;
        self.heads[bucket] = next;
        if next == NIL
            && let Some(bits) = self.occupied.get_mut(bucket / BUCKETS)
        {
            *bits &= !(1 << (bucket % BUCKETS));
        }
    }
}
