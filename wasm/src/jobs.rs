//! The scheduler of jobs and of the chunks of batches, for one JavaScript thread in memory.
//!
//! JavaScript keeps data, results and handlers by id; the scheduler keeps order, states, tokens
//! and times. Handlers run in the thread that owns it, so no worker can be lost: leases outlast
//! every timeout.

use js_sys::{Array, Float64Array};
use sommos_core::{
    batch::{BatchChange, BatchEventKind, Ledger},
    jobs::{
        Action, Backoff, BatchId, Change, Config, EventKind, Fault, Interruption, JobError, JobId,
        JobSpec, Kind, ParseIdError, Retention, Scheduler,
    },
    time::Timestamp,
};
use wasm_bindgen::prelude::*;

use crate::error::refuse;

/// Entries swept in one call; JavaScript calls again when as many went.
const SWEEP_STEPS: usize = 10_000;

/// What `drain` tells, in the order of the list in `pkg/src/jobs/queue.ts`.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Told {
    Interrupt,
    Queued,
    Started,
    Progress,
    TimedOut,
    Retry,
    Requeued,
    Completed,
    Failed,
    Cancelled,
    BatchQueued,
    BatchStarted,
    BatchProgress,
    BatchEnded,
}

/// A scheduler, and the ledger of the batches whose chunks it runs.
#[wasm_bindgen]
pub struct WorkQueue {
    pub(crate) scheduler: Scheduler,
    pub(crate) ledger: Ledger,
    /// Ids that were swept since they were last asked for.
    removed: Vec<String>,
}

#[wasm_bindgen]
impl WorkQueue {
    /// An empty queue of at most `queued_max` jobs and as many chunks that wait or run. `seed` is
    /// that of the jitter.
    #[wasm_bindgen(constructor)]
    pub fn new(queued_max: usize, seed: f64) -> Self {
        let defaults = Config::default();
        let config = Config {
            queued_max,
            chunks_max: queued_max,
            lease_ms: defaults.timeout_max_ms.saturating_mul(2),
            seed: seed.to_bits(),
            ..defaults
        };
        Self {
            scheduler: Scheduler::new(config),
            ledger: Ledger::default(),
            removed: Vec::new(),
        }
    }

    /// Takes a job; gives its id, or that of the job that came with the same key before.
    ///
    /// # Errors
    /// `QUEUE_FULL`, `LIMIT_EXCEEDED`.
    #[allow(
        clippy::too_many_arguments,
        reason = "an object would cost a look-up a field"
    )]
    pub fn submit(
        &mut self,
        now: f64,
        entropy: &[u8],
        job_type: &str,
        priority: i32,
        delay_ms: f64,
        timeout_ms: f64,
        attempts: u32,
        backoff: &[f64],
        idempotency_key: Option<String>,
    ) -> Result<String, JsValue> {
        let spec = JobSpec {
            priority,
            delay_ms: delay_ms as u64,
            timeout_ms: timeout_ms as u64,
            max_attempts: attempts,
            backoff: backoff_of(backoff),
            idempotency_key: idempotency_key.map(Into::into),
            ..JobSpec::new(Kind::Job, job_type)
        };
        let submitted = self.scheduler.submit(at(now), bytes16(entropy), spec);
        Ok(submitted.map_err(refused)?.id.to_string())
    }

    /// Lets time pass: delays and timeouts of jobs, timeouts of batches.
    pub fn tick(&mut self, now: f64) {
        self.scheduler.tick(at(now));
        self.ledger.tick(at(now), &mut self.scheduler);
    }

    /// Claims up to `max` jobs or chunks: for each its id, token and attempt, one after the other.
    pub fn claim(&mut self, now: f64, max: usize) -> Array {
        let out = Array::new();
        for claim in self.scheduler.claim(at(now), 0, max) {
            out.push(&claim.id.to_string().into());
            out.push(&(claim.token as f64).into());
            out.push(&claim.attempt.into());
        }
        out
    }

    /// The attempt of this token is done.
    ///
    /// # Errors
    /// `NOT_FOUND`, `STALE`: the result must be thrown away.
    pub fn complete(&mut self, now: f64, id: &str, token: f64) -> Result<(), JsValue> {
        let id = job_id(id)?;
        let done = self.scheduler.complete(at(now), id, token as u64, 0);
        done.map_err(refused)
    }

    /// The attempt of this token failed.
    ///
    /// # Errors
    /// `NOT_FOUND`, `STALE`.
    pub fn fail(
        &mut self,
        now: f64,
        id: &str,
        token: f64,
        message: &str,
        code: &str,
        retryable: bool,
    ) -> Result<(), JsValue> {
        let fault = Fault {
            message,
            code,
            retryable,
        };
        let id = job_id(id)?;
        let failed = self.scheduler.fail(at(now), id, token as u64, fault);
        failed.map_err(refused)
    }

    /// Percent done of the attempt of this token.
    ///
    /// # Errors
    /// `NOT_FOUND`, `STALE`.
    pub fn progress(&mut self, now: f64, id: &str, token: f64, pct: u8) -> Result<(), JsValue> {
        let id = job_id(id)?;
        let moved = self.scheduler.progress(at(now), id, token as u64, pct);
        moved.map_err(refused)
    }

    /// Cancels a job that has not ended; its token is stale from then on.
    ///
    /// # Errors
    /// `NOT_FOUND`, `ENDED`.
    pub fn cancel(&mut self, now: f64, id: &str) -> Result<(), JsValue> {
        let cancelled = self.scheduler.cancel(at(now), job_id(id)?);
        cancelled.map(drop).map_err(refused)
    }

    /// Puts a failed job back in line with all its attempts.
    ///
    /// # Errors
    /// `NOT_FOUND`, `NOT_FAILED`, `QUEUE_FULL`.
    #[wasm_bindgen(js_name = retryDead)]
    pub fn retry_dead(&mut self, now: f64, id: &str) -> Result<(), JsValue> {
        let retried = self.scheduler.retry_dead(at(now), job_id(id)?);
        retried.map_err(refused)
    }

    /// When to call `tick` next (Unix milliseconds).
    #[wasm_bindgen(js_name = nextDeadline)]
    pub fn next_deadline(&self) -> Option<f64> {
        let all = [self.scheduler.next_deadline(), self.ledger.next_deadline()];
        all.into_iter().flatten().min().map(|t| t.0 as f64)
    }

    /// Whether `claim` would give something.
    pub fn claimable(&self) -> bool {
        self.scheduler.claimable()
    }

    /// A job in numbers: status, attempts, attempts allowed, progress, priority, created, started,
    /// completed, failed, not before, timeout. A time that has not come is NaN.
    pub fn job(&self, id: &str) -> Option<Float64Array> {
        let record = self.scheduler.get(job_id(id).ok()?).ok()?;
        let state = &record.state;
        let numbers = [
            f64::from(state.status as u8),
            f64::from(state.attempts),
            f64::from(record.max_attempts()),
            f64::from(state.progress),
            f64::from(record.spec.priority),
            record.created_at().0 as f64,
            time(state.started_at),
            time(state.completed_at),
            time(state.failed_at),
            state.run_at.0 as f64,
            record.spec.timeout_ms as f64,
        ];
        Some(Float64Array::from(numbers.as_slice()))
    }

    /// Why the last attempt of a job failed.
    #[wasm_bindgen(js_name = jobError)]
    pub fn job_error(&self, id: &str) -> Option<String> {
        let record = self.scheduler.get(job_id(id).ok()?).ok()?;
        record.state.error.as_deref().map(str::to_owned)
    }

    /// The same as a code.
    #[wasm_bindgen(js_name = jobErrorCode)]
    pub fn job_error_code(&self, id: &str) -> Option<String> {
        let record = self.scheduler.get(job_id(id).ok()?).ok()?;
        record.state.code.as_deref().map(str::to_owned)
    }

    /// Jobs: total, completed, failed, cancelled, retried, active, queued, mean milliseconds, then
    /// the last runs in milliseconds.
    pub fn metrics(&self) -> Float64Array {
        let m = self.scheduler.metrics(Kind::Job);
        let counts = [
            m.total,
            m.completed,
            m.failed,
            m.cancelled,
            m.retried,
            m.active,
            m.queued,
        ];
        let mut numbers: Vec<f64> = counts.iter().map(|&n| n as f64).collect();
        numbers.push(m.average_ms);
        numbers.extend(m.times_ms.iter().map(|&ms| ms as f64));
        Float64Array::from(numbers.as_slice())
    }

    /// Forgets ended jobs that are older than `age_ms` or more than `count`, some thousands a call;
    /// gives how many.
    pub fn sweep(&mut self, now: f64, age_ms: f64, count: usize) -> usize {
        let retention = kept(age_ms, count);
        self.scheduler.sweep(at(now), &retention, SWEEP_STEPS)
    }

    /// The ids of swept jobs and batches since the last call.
    pub fn removed(&mut self) -> Vec<String> {
        self.forget();
        core::mem::take(&mut self.removed)
    }

    /// What happened since the last call, in order: id, what, number, text, one after the other.
    pub fn drain(&mut self) -> Array {
        let out = Array::new();
        for action in self.scheduler.drain_actions() {
            let Action::Interrupt { id, token, why } = action;
            let why = match why {
                Interruption::Cancelled => "CANCELLED",
                Interruption::TimedOut => "TIMED_OUT",
                Interruption::LeaseLost => "LEASE_LOST",
            };
            tell(&out, &id.to_string(), Told::Interrupt, token as f64, why);
        }
        self.drain_jobs(&out);
        for event in self.ledger.drain_events() {
            let (told, number) = match event.kind {
                BatchEventKind::Queued => (Told::BatchQueued, 0.0),
                BatchEventKind::Started => (Told::BatchStarted, 0.0),
                BatchEventKind::Progress { percent, .. } => (Told::BatchProgress, percent.into()),
                BatchEventKind::Ended(status) => (Told::BatchEnded, (status as u8).into()),
            };
            tell(&out, &event.id.to_string(), told, number, "");
        }
        self.forget();
        out
    }
}

impl WorkQueue {
    /// Nothing is written down here; only what is gone is of interest.
    fn forget(&mut self) {
        let removed = &mut self.removed;
        self.scheduler.drain_changes(|change| {
            if let Change::Remove { id, .. } = change
                && id.kind != Kind::Chunk
            {
                removed.push(id.to_string());
            }
        });
        self.ledger.drain_changes(|change| {
            if let BatchChange::Remove { id, .. } = change {
                removed.push(id.to_string());
            }
        });
    }

    /// Tells the scheduler's events and enters them in the ledger, which may make more.
    fn drain_jobs(&mut self, out: &Array) {
        loop {
            let events = self.scheduler.drain_events();
            if events.is_empty() {
                return;
            }
            self.ledger.apply(&events, &mut self.scheduler);
            for event in events {
                let (told, number, text): (_, f64, Box<str>) = match event.kind {
                    EventKind::Queued => (Told::Queued, 0.0, "".into()),
                    EventKind::Started { attempt } => (Told::Started, attempt.into(), "".into()),
                    EventKind::Progress(percent) => (Told::Progress, percent.into(), "".into()),
                    EventKind::TimedOut { limit_ms } => {
                        (Told::TimedOut, limit_ms as f64, "".into())
                    }
                    EventKind::Retry { delay_ms, error } => (Told::Retry, delay_ms as f64, error),
                    EventKind::Requeued => (Told::Requeued, 0.0, "".into()),
                    EventKind::Completed { run_ms, .. } => {
                        (Told::Completed, run_ms as f64, "".into())
                    }
                    EventKind::Failed { error, .. } => (Told::Failed, 0.0, error),
                    EventKind::Cancelled => (Told::Cancelled, 0.0, "".into()),
                };
                tell(out, &event.id.to_string(), told, number, &text);
            }
        }
    }
}

fn tell(out: &Array, id: &str, told: Told, number: f64, text: &str) {
    out.push(&id.into());
    out.push(&(told as u8).into());
    out.push(&number.into());
    out.push(&text.into());
}

/// `Date.now()`; what is no time is the epoch.
pub(crate) fn at(now: f64) -> Timestamp {
    // `as` saturates: negative and NaN become 0.
    Timestamp(now as u64)
}

pub(crate) fn time(at: Option<Timestamp>) -> f64 {
    at.map_or(f64::NAN, |t| t.0 as f64)
}

pub(crate) fn kept(age_ms: f64, count: usize) -> Retention {
    Retention {
        age_ms: age_ms as u64,
        count,
        bytes: u64::MAX,
    }
}

/// Base and longest delay in milliseconds, jitter.
pub(crate) fn backoff_of(numbers: &[f64]) -> Backoff {
    let number = |i: usize| numbers.get(i).copied().unwrap_or_default();
    Backoff {
        base_ms: number(0) as u64,
        max_ms: number(1) as u64,
        jitter: number(2) as f32,
    }
}

/// The first 16 bytes; what is missing is 0.
pub(crate) fn bytes16(bytes: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    out
}

fn job_id(text: &str) -> Result<JobId, JsValue> {
    text.parse().map_err(no_id)
}

pub(crate) fn batch_id(text: &str) -> Result<BatchId, JsValue> {
    text.parse().map_err(no_id)
}

fn no_id(error: ParseIdError) -> JsValue {
    refuse("NOT_FOUND", error)
}

pub(crate) fn refused(error: JobError) -> JsValue {
    let code = match error {
        JobError::Full { .. } | JobError::FullBytes { .. } => "QUEUE_FULL",
        JobError::NotFound(_) | JobError::NoBatch(_) => "NOT_FOUND",
        JobError::Stale { .. } => "STALE",
        JobError::Ended { .. } | JobError::Sealed(_) => "ENDED",
        JobError::NotFailed { .. } => "NOT_FAILED",
        _ => "LIMIT_EXCEEDED",
    };
    refuse(code, error)
}
