//! How the writer stops a computation and sees its progress.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use sommos_core::{
    control::{Control, Stopped},
    jobs::Interruption,
};

const GO: u8 = 0;
const CANCELLED: u8 = 1;
const TIMED_OUT: u8 = 2;

/// One per claim, shared by its worker and the writer. 3 bytes of atomics.
#[derive(Debug, Default)]
pub struct WorkControl {
    stop: AtomicU8,
    percent: AtomicU8,
    started: AtomicBool,
}

impl WorkControl {
    /// Whether it has to stop, without a report of progress.
    ///
    /// # Errors
    /// Why it has to.
    pub fn check(&self) -> Result<(), Stopped> {
        match self.stop.load(Ordering::Relaxed) {
            GO => Ok(()),
            TIMED_OUT => Err(Stopped::TimedOut),
            _ => Err(Stopped::Cancelled),
        }
    }

    pub(super) fn interrupt(&self, why: Interruption) {
        let code = if why == Interruption::TimedOut {
            TIMED_OUT
        } else {
            CANCELLED
        };
        self.stop.store(code, Ordering::Relaxed);
    }

    pub(super) fn percent(&self) -> u8 {
        self.percent.load(Ordering::Relaxed)
    }

    pub(super) fn start(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    pub(super) fn started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }
}

impl Control for WorkControl {
    fn checkpoint(&self, done: u64, total: u64) -> Result<(), Stopped> {
        let percent = done
            .saturating_mul(100)
            .checked_div(total)
            .unwrap_or(0)
            .min(100);
        self.percent.store(percent as u8, Ordering::Relaxed);
        self.check()
    }
}
