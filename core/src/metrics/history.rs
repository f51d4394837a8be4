//! The bounded history: every five seconds for an hour, every minute for a day.

use std::collections::VecDeque;

use super::category::{COLUMNS, Fold, folds};
use crate::time::Timestamp;

/// One row: a time and every column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    pub(super) at: u64,
    pub(super) cells: [f64; COLUMNS],
}

/// Rows of one interval on their way to one row: means of gauges, last values of counters.
#[derive(Debug, Clone)]
pub(super) struct Folding {
    pub(super) sums: [f64; COLUMNS],
    pub(super) known: [u32; COLUMNS],
}

impl Folding {
    pub(super) const EMPTY: Self = Self {
        sums: [0.0; COLUMNS],
        known: [0; COLUMNS],
    };

    pub(super) fn add(&mut self, cells: &[f64; COLUMNS]) {
        for (i, (cell, fold)) in cells.iter().zip(folds()).enumerate() {
            if cell.is_nan() {
                continue;
            }
            self.known[i] += 1;
            match fold {
                Fold::Mean => self.sums[i] += cell,
                Fold::Last => self.sums[i] = *cell,
            }
        }
    }

    pub(super) fn cells(&self) -> [f64; COLUMNS] {
        let mut cells = [f64::NAN; COLUMNS];
        for (i, fold) in folds().enumerate().filter(|&(i, _)| self.known[i] > 0) {
            cells[i] = match fold {
                Fold::Mean => self.sums[i] / f64::from(self.known[i]),
                Fold::Last => self.sums[i],
            };
        }
        cells
    }
}

/// One resolution.
#[derive(Debug)]
pub(super) struct Level {
    slot_ms: u64,
    keep_ms: u64,
    /// Rows stand at the last sample of their slot; else at the slot's begin.
    exact: bool,
    pub(super) rows: VecDeque<Row>,
    pub(super) open: Folding,
    pub(super) open_slot: u64,
    /// When the last row that grew too old was.
    pub(super) lost: Option<u64>,
}

impl Level {
    fn new(slot_ms: u64, keep_ms: u64, exact: bool) -> Self {
        Self {
            slot_ms,
            keep_ms,
            exact,
            rows: VecDeque::with_capacity(Self::capacity(slot_ms, keep_ms)),
            open: Folding::EMPTY,
            open_slot: u64::MAX,
            lost: None,
        }
    }

    /// Rows of the slots kept, the open one among them.
    const fn capacity(slot_ms: u64, keep_ms: u64) -> usize {
        (keep_ms / slot_ms) as usize + 1
    }

    fn push(&mut self, row: &Row) {
        let slot = row.at / self.slot_ms;
        let at = if self.exact {
            row.at
        } else {
            slot * self.slot_ms
        };
        let open = self.open_slot == slot;
        // After a clock was set back, rows of the future would never grow old, and a closed row of
        // this slot begins anew.
        while self
            .rows
            .back()
            .is_some_and(|last| last.at > row.at || (!open && last.at / self.slot_ms == slot))
        {
            self.rows.pop_back();
        }
        if self
            .rows
            .back()
            .is_some_and(|last| last.at / self.slot_ms == slot)
        {
            self.rows.pop_back();
        } else {
            self.open = Folding::EMPTY;
            self.open_slot = slot;
        }
        self.open.add(&row.cells);
        // A clock set back by more than is kept: nothing of this minute is lost.
        let minute = row.at / MINUTE_MS * MINUTE_MS;
        self.lost = self.lost.map(|lost| lost.min(minute.saturating_sub(1)));
        self.trim(row.at);
        self.rows.push_back(Row {
            at,
            cells: self.open.cells(),
        });
    }

    /// Drops what a row of this time leaves too old, and makes room for it.
    pub(super) fn trim(&mut self, at: u64) {
        let oldest = at.saturating_sub(self.keep_ms);
        while self.rows.front().is_some_and(|first| first.at < oldest)
            || self.rows.len() >= Self::capacity(self.slot_ms, self.keep_ms)
        {
            self.lost = self.rows.pop_front().map(|first| first.at).or(self.lost);
        }
    }
}

const MINUTE_MS: u64 = 60_000;
const FINE: (u64, u64) = (5_000, 3_600_000);
const COARSE: (u64, u64) = (MINUTE_MS, 86_400_000);

/// Both resolutions of all categories.
#[derive(Debug)]
pub(super) struct History {
    pub(super) fine: Level,
    pub(super) coarse: Level,
}

impl History {
    /// Heap bytes, allocated at once: 2,162 rows.
    pub(super) const BYTES: usize = (Self::ROWS[0] + Self::ROWS[1]) * size_of::<Row>();
    /// Five-second rows are so far apart, milliseconds.
    pub(super) const FINE_STEP_MS: u64 = FINE.0;
    /// Rows of minutes, likewise.
    pub(super) const COARSE_STEP_MS: u64 = COARSE.0;
    /// Rows of either resolution at most.
    pub(super) const ROWS: [usize; 2] = [
        Level::capacity(FINE.0, FINE.1),
        Level::capacity(COARSE.0, COARSE.1),
    ];

    /// A history of so many milliseconds, a day at most.
    pub(super) fn new(retention_ms: u64) -> Self {
        // The minute in which the retention begins stands for what was lost of its seconds.
        let minutes = retention_ms.saturating_add(MINUTE_MS);
        Self {
            fine: Level::new(FINE.0, FINE.1.min(retention_ms), true),
            coarse: Level::new(COARSE.0, COARSE.1.min(minutes), false),
        }
    }

    pub(super) fn push(&mut self, at: Timestamp, cells: [f64; COLUMNS]) {
        let row = Row { at: at.0, cells };
        self.fine.push(&row);
        self.coarse.push(&row);
    }

    /// The rows in `from..=to`, oldest first: minutes, then five seconds from the first minute
    /// on that is whole among these. With a step, one row an interval of it, aligned to its
    /// multiples.
    pub(super) fn range(&self, from: u64, to: u64, step_ms: Option<u64>) -> Vec<Row> {
        // Up to the minute of the last row lost, minutes; from the next one on, five seconds.
        let next = |lost: u64| {
            (lost / MINUTE_MS)
                .saturating_add(1)
                .saturating_mul(MINUTE_MS)
        };
        let cut = self.fine.lost.map_or(0, next);
        let minutes = self.coarse.rows.iter().filter(|row| row.at < cut);
        let seconds = self.fine.rows.iter().filter(|row| row.at >= cut);
        let rows = minutes
            .chain(seconds)
            .filter(|row| (from..=to).contains(&row.at));
        match step_ms {
            Some(step) if step > 1 => stepped(rows, step),
            _ => rows.copied().collect(),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        (self.fine.rows.capacity() + self.coarse.rows.capacity()) * size_of::<Row>()
    }
}

fn stepped<'a>(rows: impl Iterator<Item = &'a Row>, step: u64) -> Vec<Row> {
    let mut out: Vec<Row> = Vec::new();
    let mut folding = Folding::EMPTY;
    for row in rows {
        let at = row.at / step * step;
        if out.last().is_some_and(|last| last.at == at) {
            out.pop();
        } else {
            folding = Folding::EMPTY;
        }
        folding.add(&row.cells);
        out.push(Row {
            at,
            cells: folding.cells(),
        });
    }
    out
}
