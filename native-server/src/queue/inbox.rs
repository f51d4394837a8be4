//! What waits for the writer: commands of callers, outcomes of workers.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use sommos_core::jobs::JobId;

use super::{
    types::{Failure, QueueError},
    writer::Step,
};

/// How an attempt ended.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) id: JobId,
    pub(super) token: u64,
    pub(super) result: Result<Bytes, Failure>,
}

/// One round's harvest.
#[derive(Default)]
pub(super) struct Mail {
    pub(super) steps: Vec<Step>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) closed: bool,
}

#[derive(Default)]
struct State {
    mail: Mail,
    asleep: bool,
    poked: bool,
}

/// Bounded for commands; outcomes are bounded by the claims.
pub(super) struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
    commands_max: usize,
}

impl Inbox {
    pub(super) fn new(commands_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            commands_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        // One wake-up a round: the writer takes everything that is there when it comes.
        let asleep = std::mem::replace(&mut state.asleep, false);
        drop(state);
        if asleep {
            self.wake.notify_one();
        }
    }

    pub(super) fn command(&self, step: Step) -> Result<(), QueueError> {
        let mut state = self.lock();
        if state.mail.closed {
            return Err(QueueError::Closed);
        }
        if state.mail.steps.len() >= self.commands_max {
            return Err(QueueError::Busy(state.mail.steps.len()));
        }
        state.mail.steps.push(step);
        self.wake(state);
        Ok(())
    }

    pub(super) fn outcome(&self, outcome: Outcome) {
        let mut state = self.lock();
        state.mail.outcomes.push(outcome);
        self.wake(state);
    }

    /// Wakes the writer for a look at the clock.
    pub(super) fn poke(&self) {
        let mut state = self.lock();
        state.poked = true;
        self.wake(state);
    }

    /// Ends the writer at once; what waits is dropped, its callers learn that it is closed.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.mail.closed = true;
        self.wake(state);
    }

    /// Everything that waits; waits itself until there is something or `timeout` has passed.
    pub(super) fn take(&self, timeout: Option<Duration>) -> Mail {
        let until = timeout.map(|timeout| Instant::now() + timeout);
        let mut state = self.lock();
        loop {
            let empty = state.mail.steps.is_empty() && state.mail.outcomes.is_empty();
            if !empty || state.mail.closed || std::mem::take(&mut state.poked) {
                break;
            }
            state.asleep = true;
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            state = match left {
                None => self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    self.wake
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        state.asleep = false;
        let closed = state.mail.closed;
        std::mem::replace(
            &mut state.mail,
            Mail {
                closed,
                ..Mail::default()
            },
        )
    }
}
