//! The rolling windows and the history: each row as what changed since the one before.

use std::{collections::VecDeque, sync::Arc};

use super::{
    SnapshotError,
    codec::{Packed, Reader, Writer, bits_of},
};
use crate::{
    metrics::{
        category::COLUMNS,
        histogram::BUCKETS,
        history::{Folding, History, Level, Row},
        window::{COPIES, Rolling, Snapshot},
    },
    time::Timestamp,
};

/// Samples that one row of the history may be made of, with room to count on.
const FOLDED_MAX: u32 = 1 << 31;

/// Small for small changes in either direction.
fn zigzag(change: u64) -> u64 {
    (change << 1) ^ ((change as i64) >> 63) as u64
}

fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

fn counters(copy: &mut Snapshot) -> [&mut u64; 7] {
    [
        &mut copy.responses,
        &mut copy.errors,
        &mut copy.sum_us,
        &mut copy.queries,
        &mut copy.slow_queries,
        &mut copy.hits,
        &mut copy.misses,
    ]
}

fn blank() -> Snapshot {
    Snapshot {
        at: Timestamp::ZERO,
        responses: 0,
        errors: 0,
        sum_us: 0,
        queries: 0,
        slow_queries: 0,
        hits: 0,
        misses: 0,
        durations: [0; BUCKETS].into(),
    }
}

/// Writes what changed since `last`; gives the copy for the next.
fn pack_change(copy: &Snapshot, last: &mut Snapshot, to: &mut Writer) -> Snapshot {
    to.number(copy.at.ms_since(last.at));
    let mut copy = copy.clone();
    for (now, then) in counters(&mut copy).into_iter().zip(counters(last)) {
        to.number(zigzag(now.wrapping_sub(*then)));
    }
    let pairs = copy.durations.iter().zip(&last.durations);
    to.sparse(pairs.map(|(now, then)| u64::from(now.wrapping_sub(*then))));
    copy
}

/// Turns the copy before into the one that was written after it.
fn unpack_change(copy: &mut Snapshot, from: &mut Reader<'_>) -> Result<(), SnapshotError> {
    copy.at = later(from, copy.at.0).map(Timestamp)?;
    for counter in counters(copy) {
        *counter = counter.wrapping_add(unzigzag(from.number()?));
    }
    let mut changes = [0; BUCKETS];
    from.sparse(&mut changes)?;
    for (count, change) in copy.durations.iter_mut().zip(changes) {
        let change = u32::try_from(change).map_err(|_| from.malformed("a count over 2^32"))?;
        *count = count.wrapping_add(change);
    }
    Ok(())
}

/// One copy alone.
pub(super) fn pack_copy(copy: &Snapshot, to: &mut Writer) {
    pack_change(copy, &mut blank(), to);
}

pub(super) fn unpack_copy(from: &mut Reader<'_>) -> Result<Snapshot, SnapshotError> {
    let mut copy = blank();
    unpack_change(&mut copy, from)?;
    Ok(copy)
}

fn pack_ring(ring: &VecDeque<Arc<Snapshot>>, to: &mut Writer) {
    to.number(ring.len() as u64);
    let mut last = blank();
    for copy in ring {
        last = pack_change(copy, &mut last, to);
    }
}

fn unpack_ring(from: &mut Reader<'_>) -> Result<VecDeque<Arc<Snapshot>>, SnapshotError> {
    let length = from.length(COPIES, "more copies than a window keeps")?;
    from.check(length > 0, "a window without a copy")?;
    let mut ring = VecDeque::with_capacity(COPIES);
    let mut copy = blank();
    for _ in 0..length {
        unpack_change(&mut copy, from)?;
        ring.push_back(Arc::new(copy.clone()));
    }
    Ok(ring)
}

/// The time that is so much later, as written, than `last`.
fn later(from: &mut Reader<'_>, last: u64) -> Result<u64, SnapshotError> {
    let passed = from.number()?;
    let at = last.checked_add(passed);
    at.ok_or_else(|| from.malformed("a time over 64 bits"))
}

impl Packed for Rolling {
    fn pack(&self, to: &mut Writer) {
        for ring in &self.rings {
            pack_ring(ring, to);
        }
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let rings = [unpack_ring(from)?, unpack_ring(from)?, unpack_ring(from)?];
        Ok(Self { rings })
    }
}

pub(super) fn pack_cells(cells: &[f64; COLUMNS], last: &mut [u64; COLUMNS], to: &mut Writer) {
    for (cell, last) in cells.iter().zip(last) {
        let bits = bits_of(*cell);
        to.change(bits ^ *last);
        *last = bits;
    }
}

pub(super) fn unpack_cells(
    last: &mut [u64; COLUMNS],
    from: &mut Reader<'_>,
) -> Result<[f64; COLUMNS], SnapshotError> {
    for last in last.iter_mut() {
        *last ^= from.change()?;
    }
    Ok(last.map(f64::from_bits))
}

impl Packed for Folding {
    fn pack(&self, to: &mut Writer) {
        pack_cells(&self.sums, &mut [0; COLUMNS], to);
        for known in &self.known {
            known.pack(to);
        }
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut folding = Self {
            sums: unpack_cells(&mut [0; COLUMNS], from)?,
            ..Self::EMPTY
        };
        for known in &mut folding.known {
            *known = u32::unpack(from)?;
            from.check(*known <= FOLDED_MAX, "a row of over 2^31 samples")?;
        }
        Ok(folding)
    }
}

fn pack_level(level: &Level, to: &mut Writer) {
    level.open.pack(to);
    level.open_slot.pack(to);
    level.lost.pack(to);
    to.number(level.rows.len() as u64);
    let (mut at, mut cells) = (0u64, [0; COLUMNS]);
    for row in &level.rows {
        to.number(row.at.saturating_sub(at));
        at = row.at;
        pack_cells(&row.cells, &mut cells, to);
    }
}

/// Fills an empty level; what is older than it keeps is dropped as it would be by a new row.
fn unpack_level(
    level: &mut Level,
    longest: usize,
    from: &mut Reader<'_>,
) -> Result<(), SnapshotError> {
    level.open = Folding::unpack(from)?;
    level.open_slot = u64::unpack(from)?;
    level.lost = Option::unpack(from)?;
    let length = from.length(longest, "more rows than the history keeps")?;
    let (mut at, mut cells) = (0u64, [0; COLUMNS]);
    for _ in 0..length {
        at = later(from, at)?;
        let cells = unpack_cells(&mut cells, from)?;
        level.trim(at);
        level.rows.push_back(Row { at, cells });
    }
    Ok(())
}

pub(super) fn pack_history(history: &History, to: &mut Writer) {
    for level in [&history.fine, &history.coarse] {
        pack_level(level, to);
    }
}

/// Fills an empty history, which may keep less or more than the one that was written.
pub(super) fn unpack_history(
    history: &mut History,
    from: &mut Reader<'_>,
) -> Result<(), SnapshotError> {
    let [fine, coarse] = History::ROWS;
    unpack_level(&mut history.fine, fine, from)?;
    unpack_level(&mut history.coarse, coarse, from)
}
