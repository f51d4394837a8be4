//! The right to go on: how a caller stops a long computation and sees its progress.

use thiserror::Error;

/// Why a computation ended before its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Stopped {
    /// The caller cancelled it.
    #[error("cancelled")]
    Cancelled,
    /// Its time limit passed.
    #[error("time limit exceeded")]
    TimedOut,
    /// The platform is about to end it: it gives no more processor time.
    #[error(
        "the platform's processor time is used up: give it less work at once, or send it to a \
         server of your own"
    )]
    Exhausted,
}

/// Asked by every long kernel between blocks of at most a few milliseconds of work.
///
/// An implementation must be cheap (an atomic load): kernels call it thousands of times a second,
/// from any thread of a parallel section.
pub trait Control: Sync {
    /// Reports `done` of `total` units of work and asks whether to go on.
    ///
    /// # Errors
    /// [`Stopped`] when the kernel must return at once, without a result.
    fn checkpoint(&self, done: u64, total: u64) -> Result<(), Stopped>;

    /// Whether [`Self::checkpoint`] does anything: if not, a kernel may leave it out where that
    /// saves work.
    fn listens(&self) -> bool {
        true
    }
}

/// A control that never stops anything and keeps no progress.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unstoppable;

impl Control for Unstoppable {
    fn checkpoint(&self, _done: u64, _total: u64) -> Result<(), Stopped> {
        Ok(())
    }

    fn listens(&self) -> bool {
        false
    }
}

impl<C: Control + ?Sized> Control for &C {
    fn checkpoint(&self, done: u64, total: u64) -> Result<(), Stopped> {
        (**self).checkpoint(done, total)
    }

    fn listens(&self) -> bool {
        (**self).listens()
    }
}
