//! Runs claimed work on blocking threads, as many at once as this server has workers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use sommos_core::jobs::Interruption;
use tokio::sync::Semaphore;

use crate::queue::{
    control::WorkControl,
    types::{Executor, Failure, Work},
};

/// How an attempt ended here.
#[derive(Debug)]
pub(super) enum Ended {
    /// With a result.
    Done(Bytes),
    /// Without one.
    Failed(Failure),
    /// It took longer than it may; its thread was interrupted.
    TimedOut,
    /// Somebody asked for its end; its thread was interrupted.
    Interrupted,
}

/// The workers of the shared queue.
pub(super) struct Runner {
    executor: Arc<dyn Executor>,
    slots: Arc<Semaphore>,
    max: usize,
    /// How long an interrupted computation may go on before its slot is given to another.
    grace: Duration,
    busy: AtomicUsize,
    busy_us: AtomicU64,
}

impl Runner {
    pub(super) fn new(executor: Arc<dyn Executor>, max: usize, grace: Duration) -> Self {
        let max = max.max(1);
        Self {
            executor,
            slots: Arc::new(Semaphore::new(max)),
            max,
            grace,
            busy: AtomicUsize::new(0),
            busy_us: AtomicU64::new(0),
        }
    }

    /// Attempts at work now, attempts at once at most, and time spent in all.
    pub(super) fn stats(&self) -> (usize, usize, Duration) {
        let busy_us = self.busy_us.load(Ordering::Relaxed);
        let busy = self.busy.load(Ordering::Relaxed);
        (busy, self.max, Duration::from_micros(busy_us))
    }

    /// Runs one attempt as soon as a slot is free; `began` is called when it begins. It ends early
    /// when `interrupted` resolves.
    pub(super) async fn run(
        &self,
        work: Work,
        control: Arc<WorkControl>,
        timeout: Duration,
        interrupted: impl Future<Output = ()>,
        began: impl FnOnce(),
    ) -> Ended {
        tokio::pin!(interrupted);
        let slot = tokio::select! {
            slot = Arc::clone(&self.slots).acquire_owned() => slot,
            () = &mut interrupted => return Ended::Interrupted,
        };
        let Ok(slot) = slot else {
            return Ended::Interrupted;
        };
        began();
        self.busy.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let (executor, inner) = (Arc::clone(&self.executor), Arc::clone(&control));
        let mut thread = tokio::task::spawn_blocking(move || attempt(&*executor, &work, &inner));
        let deadline = tokio::time::sleep(timeout);
        let ended = tokio::select! {
            result = &mut thread => match result {
                Ok(Ok(bytes)) => Ended::Done(bytes),
                Ok(Err(failure)) => Ended::Failed(failure),
                Err(error) => Ended::Failed(Failure::transient("PANICKED", error.to_string())),
            },
            () = &mut interrupted => Ended::Interrupted,
            () = deadline => Ended::TimedOut,
        };
        let why = match &ended {
            Ended::TimedOut => Some(Interruption::TimedOut),
            Ended::Interrupted => Some(Interruption::Cancelled),
            Ended::Done(_) | Ended::Failed(_) => None,
        };
        if let Some(why) = why {
            control.interrupt(why);
            // A computation that goes on after this keeps its thread, not its slot.
            if tokio::time::timeout(self.grace, thread).await.is_err() {
                tracing::warn!("work goes on after its interruption");
            }
        }
        let spent = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.busy_us.fetch_add(spent, Ordering::Relaxed);
        self.busy.fetch_sub(1, Ordering::Relaxed);
        drop(slot);
        ended
    }
}

fn attempt(executor: &dyn Executor, work: &Work, control: &WorkControl) -> Result<Bytes, Failure> {
    control.start();
    control.check()?;
    catch_unwind(AssertUnwindSafe(|| executor.run(work, control))).unwrap_or_else(|panic| {
        let text = super::super::pool::panic_text(panic.as_ref());
        Err(Failure::transient("PANICKED", text))
    })
}
