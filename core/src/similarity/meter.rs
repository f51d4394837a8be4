//! Progress and cancellation, shared by the threads of one computation.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::control::{Control, Stopped};

/// Work between two checkpoints, in additions: about a millisecond.
const INTERVAL: u64 = 1 << 19;

/// Counts the work of one computation and asks its control now and then.
pub(super) struct Meter<'a, C> {
    control: &'a C,
    done: AtomicU64,
    total: u64,
}

impl<'a, C: Control> Meter<'a, C> {
    pub(super) fn new(control: &'a C, total: u64) -> Self {
        Self {
            control,
            done: AtomicU64::new(0),
            total,
        }
    }

    /// Notes that so much was done or is about to be.
    pub(super) fn add(&self, work: u64) -> Result<(), Stopped> {
        let before = self.done.fetch_add(work, Ordering::Relaxed);
        let after = before + work;
        if before / INTERVAL == after / INTERVAL {
            return Ok(());
        }
        self.control.checkpoint(after.min(self.total), self.total)
    }
}

/// Work that a thread does before it tells the others: an atomic addition is not free.
const BATCH: u64 = 1 << 16;

/// One thread's side of a [`Meter`].
pub(super) struct Ticker<'a, C> {
    meter: &'a Meter<'a, C>,
    pending: u64,
}

impl<'a, C: Control> Ticker<'a, C> {
    pub(super) fn new(meter: &'a Meter<'a, C>) -> Self {
        Self { meter, pending: 0 }
    }

    /// Notes work; cheap.
    #[inline]
    pub(super) fn add(&mut self, work: u64) -> Result<(), Stopped> {
        self.pending += work;
        if self.pending < BATCH {
            return Ok(());
        }
        self.flush()
    }

    /// Passes on what is pending.
    pub(super) fn flush(&mut self) -> Result<(), Stopped> {
        self.meter.add(core::mem::take(&mut self.pending))
    }
}
