//! Working memory that goes from one chunk of a computation to the next: fresh memory costs a fault
//! a page, which two threads do not share well.

use std::sync::{Mutex, PoisonError};

/// What is not in use; never more than there are threads.
pub(super) struct Spare<T>(Mutex<Vec<T>>);

impl<T: Default> Spare<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// One that was given back, or a new one.
    pub(super) fn take(&self) -> T {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spare.pop().unwrap_or_default()
    }

    /// Gives it back as it was when it was new, but for its capacity.
    pub(super) fn give(&self, value: T) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(value);
    }

    /// All that is not in use.
    pub(super) fn into_inner(self) -> Vec<T> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
