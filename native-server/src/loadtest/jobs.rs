//! Load tests as jobs of the queue.
//!
//! A test is admitted when few enough run, and waits under a ticket for the worker that its job is
//! given to; the job's stored input is the number of the ticket and nothing else, so that no token
//! of a caller is ever written to the disk. A job without its ticket (after a restart, or retried
//! by hand) fails and says so: a load test never runs unless somebody just asked for it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use sommos_core::{
    control::Control as _,
    jobs::{JobId, JobSpec, Kind},
    wire::{
        ApiError, ErrorCode, envelope,
        jobs::PRIORITY_MAX,
        tasks::stored_json,
        testing::{LOAD_TEST, LoadProgress},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{LoadError, LoadPlan};
use crate::queue::{Failure, NewJob, Queue, QueueError, Work, WorkControl};

/// So much longer than the test and one request may take, its job may.
const SPARE: Duration = Duration::from_secs(10);
/// A test that was cancelled gets so long to close its connections before another begins.
const WINDING_DOWN: Duration = Duration::from_secs(2);
/// A part of a test, as the queue counts it.
const PARTS: f64 = 1000.0;

/// A test that waits for its worker.
struct Ticket {
    plan: LoadPlan,
    /// Its job, once that is known.
    job: Option<JobId>,
    slot: OwnedSemaphorePermit,
}

/// The load tests of a server.
pub struct LoadTests {
    max: usize,
    slots: Arc<Semaphore>,
    tickets: Mutex<HashMap<u64, Ticket>>,
    /// Those that run.
    live: Mutex<HashMap<JobId, LoadProgress>>,
    ended: AtomicBool,
}

/// Why a test was not started.
#[derive(Debug)]
pub(crate) enum NotStarted {
    Full(usize),
    Queue(QueueError),
}

impl LoadTests {
    /// At most `max` tests at once, at least 1.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            max,
            slots: Arc::new(Semaphore::new(max)),
            tickets: Mutex::default(),
            live: Mutex::default(),
            ended: AtomicBool::new(false),
        }
    }

    /// Ends those that run, and those that would begin: the server ends.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// How far a test is, while it runs.
    #[must_use]
    pub fn progress(&self, id: JobId) -> Option<LoadProgress> {
        lock(&self.live).get(&id).cloned()
    }

    /// Submits a test; it begins before work that waits. When this answers, its job is on the disk.
    pub(crate) async fn submit(&self, queue: &Queue, plan: LoadPlan) -> Result<JobId, NotStarted> {
        let slot = self.admit(queue).await?;
        let mut entropy = [0; 8];
        getrandom::fill(&mut entropy).map_err(|error| {
            let what = format!("no randomness for a ticket: {error}");
            NotStarted::Queue(QueueError::Store(what.into()))
        })?;
        let number = u64::from_le_bytes(entropy);
        let limit = plan.length() + plan.timeout + SPARE;
        let ticket = Ticket {
            plan,
            job: None,
            slot,
        };
        lock(&self.tickets).insert(number, ticket);
        let spec = JobSpec {
            priority: i32::try_from(PRIORITY_MAX).unwrap_or(i32::MAX),
            timeout_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            // What brought the server down is not to be done again.
            max_attempts: 1,
            ..JobSpec::new(Kind::Job, LOAD_TEST)
        };
        let payload = Bytes::from(number.to_string());
        let submitted = queue
            .submit(NewJob {
                spec,
                payload,
                here: true,
            })
            .await;
        let mut tickets = lock(&self.tickets);
        match submitted {
            Ok(submitted) => {
                if let Some(ticket) = tickets.get_mut(&number) {
                    ticket.job = Some(submitted.id);
                }
                Ok(submitted.id)
            }
            Err(error) => {
                tickets.remove(&number);
                Err(NotStarted::Queue(error))
            }
        }
    }

    /// A slot: one that is free, or that of a test which was cancelled.
    async fn admit(&self, queue: &Queue) -> Result<OwnedSemaphorePermit, NotStarted> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(slot);
        }
        let waiting: Vec<_> = {
            let tickets = lock(&self.tickets);
            tickets
                .iter()
                .filter_map(|(n, ticket)| Some((*n, ticket.job?)))
                .collect()
        };
        for (number, job) in waiting {
            if has_ended(queue, job).await {
                lock(&self.tickets).remove(&number);
            }
        }
        let running: Vec<_> = lock(&self.live).keys().copied().collect();
        let mut ending = false;
        for job in running {
            ending |= has_ended(queue, job).await;
        }
        let patience = if ending { WINDING_DOWN } else { Duration::ZERO };
        let slot = tokio::time::timeout(patience, Arc::clone(&self.slots).acquire_owned()).await;
        match slot {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(NotStarted::Full(self.max)),
        }
    }

    /// Runs the test of a job, on a thread and a runtime of its own: so it measures the server
    /// from outside, however busy that is.
    pub(crate) fn run(&self, work: &Work, control: &WorkControl) -> Result<Vec<u8>, Failure> {
        let number = std::str::from_utf8(&work.payload)
            .ok()
            .and_then(|n| n.parse().ok());
        let ticket = number.and_then(|number: u64| lock(&self.tickets).remove(&number));
        let Some(Ticket { plan, slot, .. }) = ticket else {
            let what = "a load test is not run again, neither after a restart nor by a retry: \
                        start another with POST /api/performance/test/load";
            return Err(Failure::permanent(ErrorCode::Conflict.as_str(), what));
        };
        let begun = LoadProgress::new(0, plan.requests, 0.0, None, 0);
        lock(&self.live).insert(work.id, begun);
        let _live = Live {
            tests: self,
            id: work.id,
            _slot: slot,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| {
                Failure::permanent(ErrorCode::Unavailable.as_str(), error.to_string())
            })?;
        let report = runtime.block_on(super::run(
            plan,
            |progress, part| {
                lock(&self.live).insert(work.id, progress);
                // Whether to stop is asked more often than this.
                let _ = control.checkpoint((part * PARTS) as u64, PARTS as u64);
            },
            || control.check().is_err() || self.ended.load(Ordering::Relaxed),
        ));
        control.check()?;
        if self.ended.load(Ordering::Relaxed) {
            let what = "the server was shut down before the load test was over";
            return Err(Failure::permanent(ErrorCode::Unavailable.as_str(), what));
        }
        let report = report.map_err(|error| {
            let error = refused(&error);
            Failure::permanent(error.code.as_str(), error.message)
        })?;
        let json = envelope::encode(&report)
            .map_err(|error| Failure::permanent(error.code.as_str(), error.message))?;
        Ok(stored_json(json))
    }
}

/// A test that runs: seen while it does, its slot free afterwards.
struct Live<'a> {
    tests: &'a LoadTests,
    id: JobId,
    _slot: OwnedSemaphorePermit,
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        lock(&self.tests.live).remove(&self.id);
    }
}

/// What is wrong with a plan, on the wire.
pub(crate) fn refused(error: &LoadError) -> ApiError {
    match error {
        LoadError::Range { field, .. } | LoadError::Request { field, .. } => {
            ApiError::invalid(field, error)
        }
        LoadError::Unresolved { .. } => ApiError::invalid("endpoint", error),
        LoadError::Target(_) | LoadError::Redirect(_) => {
            ApiError::new(ErrorCode::Forbidden, format!("endpoint: {error}")).at("endpoint")
        }
    }
}

async fn has_ended(queue: &Queue, id: JobId) -> bool {
    match queue.job(id).await {
        Ok(view) => view.record.state.status.ended(),
        Err(error) => error.job().is_some(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
