//! What a worker does with a job that it claimed. A claim is BullMQ's lock; a report without it is
//! refused.

use std::{sync::Arc, time::Duration};

use bullmq::{Error, Job, JobProgress};
use bytes::Bytes;
use serde_json::Value;
use sommos_core::{
    jobs::{Interruption, Kind},
    time::Timestamp,
};

use super::{
    Bull,
    map::{self, Meta},
    results,
    runner::Ended,
    scripts::{self, run},
};
use crate::queue::{
    control::WorkControl,
    timings::Timed,
    types::{Failure, QueueError, Work},
};

/// Time between two looks at the progress of an attempt.
const PROGRESS: Duration = Duration::from_millis(200);
/// Inputs and results of this many bytes and more are converted on a thread of their own.
const LARGE: usize = 64 << 10;

/// A claimed job as its worker here sees it.
pub(super) struct Claim {
    /// Its key in Redis.
    pub key: String,
    base: String,
    id: String,
    token: String,
}

impl Bull {
    /// Runs a job or task.
    pub(super) async fn process(
        self: Arc<Self>,
        queue: &'static str,
        kind: Kind,
        job: Job,
    ) -> Result<Value, Error> {
        let (job, payload) = read_payload(job).await?;
        let payload = match payload {
            Ok(payload) => payload,
            Err(message) => {
                let claim = self.claim_of(queue, &job);
                let failure = Failure::permanent("INVALID_FIELD", message);
                return Err(self.failed(kind, &claim, &job, failure, None).await);
            }
        };
        let work = Work {
            id: map::id_of(kind, queue, job.id(), job.timestamp()),
            kind,
            job_type: job.name().into(),
            payload,
            params: Bytes::new(),
            attempt: job.attempts_started().max(1),
        };
        let result = self.attempt(queue, &job, work).await?;
        self.hand_over(queue, &job, result).await
    }

    /// The claim of a job that a worker here has.
    pub(super) fn claim_of(&self, queue: &str, job: &Job) -> Claim {
        let base = self.options.base(queue);
        Claim {
            key: format!("{base}:{}", job.id()),
            base,
            id: job.id().to_owned(),
            token: job.token().unwrap_or_default().to_owned(),
        }
    }

    /// Runs one attempt. Its progress is told, its failure noted.
    ///
    /// # Errors
    /// What BullMQ's worker must be told.
    pub(super) async fn attempt(&self, queue: &str, job: &Job, work: Work) -> Result<Bytes, Error> {
        let claim = self.claim_of(queue, job);
        let kind = work.kind;
        let meta = Meta::of(kind, job.opts());
        let limit_ms = match meta.timeout_ms {
            0 => self.config.scheduler.timeout_max_ms,
            ms => ms.min(self.config.scheduler.timeout_max_ms),
        };
        let running = self.running.enter(&claim.key, &claim.token);
        let control = Arc::new(WorkControl::default());
        let started = Arc::new(std::sync::OnceLock::new());
        let (at, clock) = (Arc::clone(&started), Arc::clone(&self.config.clock));
        let runs = self.runner.run(
            work,
            Arc::clone(&control),
            Duration::from_millis(limit_ms),
            running.stopped(),
            move || {
                // Set once, by the only attempt.
                let _ = at.set(clock());
            },
        );
        let ended = tokio::select! {
            ended = runs => ended,
            // Somebody else has it.
            () = self.tell(&claim, job, &control) => {
                control.interrupt(Interruption::LeaseLost);
                return Err(Error::Delayed);
            }
            () = self.drained() => {
                control.interrupt(Interruption::Cancelled);
                return Err(self.give_back(&claim).await);
            }
        };
        let began = started.get().copied().unwrap_or_else(|| self.now());
        self.time(kind, job, began, &ended);
        let limit = self.config.result_bytes_max;
        match ended {
            Ended::Done(bytes) if bytes.len() > limit => {
                let message = format!("the result has {} bytes; at most {limit}", bytes.len());
                let failure = Failure::permanent("RESULT_TOO_LARGE", message);
                Err(self.failed(kind, &claim, job, failure, None).await)
            }
            Ended::Done(bytes) => Ok(bytes),
            Ended::Failed(failure) => Err(self.failed(kind, &claim, job, failure, None).await),
            Ended::TimedOut => {
                let message = format!("timed out after {limit_ms} ms");
                let failure = Failure::transient("TIMED_OUT", message);
                Err(self
                    .failed(kind, &claim, job, failure, Some(limit_ms))
                    .await)
            }
            // Its lock is gone already: there is nothing to report.
            Ended::Interrupted => Err(Error::Delayed),
        }
    }

    fn time(&self, kind: Kind, job: &Job, began: Timestamp, ended: &Ended) {
        let timings = self.local.timings();
        if job.attempts_made() == 0 {
            let due = Timestamp(job.timestamp()).plus_ms(job.opts().delay.unwrap_or(0));
            timings.record(Timed::Waited(kind, began.ms_since(due)));
        }
        let ran = self.now().ms_since(began);
        match ended {
            Ended::Done(_) | Ended::Failed(_) => timings.record(Timed::Ran(kind, ran)),
            Ended::TimedOut => {
                timings.record(Timed::Ran(kind, ran));
                timings.record(Timed::Overran(kind));
            }
            Ended::Interrupted => {}
        }
    }

    /// Tells of an attempt's progress for as long as it is ours; returns when it is not.
    async fn tell(&self, claim: &Claim, job: &Job, control: &WorkControl) {
        // What an attempt before this one had reached.
        let mut told = match job.progress() {
            JobProgress::Number(before) if job.attempts_started() > 1 && *before > 0.0 => None,
            _ => Some(0),
        };
        loop {
            tokio::time::sleep(PROGRESS).await;
            let percent = control.percent();
            if told.is_some_and(|told| percent <= told) {
                continue;
            }
            let text = percent.to_string();
            let event = ["event", "progress", "jobId", &claim.id, "data", &text];
            match self.note(claim, "", &["progress", &text], &event).await {
                Ok(true) => told = Some(percent),
                Ok(false) => return,
                // Told the next time.
                Err(_) => {}
            }
        }
    }

    /// Writes on a claimed job; gives whether the claim still holds.
    async fn note(
        &self,
        claim: &Claim,
        counter: &str,
        fields: &[&str],
        event: &[&str],
    ) -> Result<bool, QueueError> {
        let count = fields.len().to_string();
        let mut arguments = vec![claim.token.as_bytes(), counter.as_bytes(), count.as_bytes()];
        arguments.extend(fields.iter().chain(event).map(|text| text.as_bytes()));
        let keys = [
            claim.key.clone(),
            format!("{}:events", claim.base),
            format!("{}:sommos", claim.base),
        ];
        let noted: u8 = self
            .link
            .ask(|conn| async move { run(&conn, scripts::NOTE, &keys, &arguments).await })
            .await?;
        Ok(noted == 1)
    }

    /// Notes why an attempt failed; gives what BullMQ's worker must be told.
    pub(super) async fn failed(
        &self,
        kind: Kind,
        claim: &Claim,
        job: &Job,
        failure: Failure,
        limit_ms: Option<u64>,
    ) -> Error {
        let meta = Meta::of(kind, job.opts());
        let message = truncated(failure.message, self.config.scheduler.error_bytes);
        let made = job.attempts_made() + 1;
        let again = failure.retryable && made < job.opts().attempts.unwrap_or(0);
        let delay = meta.backoff.delay_ms(made, meta.seed).to_string();
        let last = if failure.retryable { "0" } else { "1" };
        let limit = limit_ms.unwrap_or(0).to_string();
        let fields = [
            "sommosError",
            &message,
            "sommosCode",
            &failure.code,
            "sommosFinal",
            last,
        ];
        let mut event = vec!["event", "sommosFailure", "jobId", &claim.id];
        event.extend(["error", &message, "final", last]);
        if again {
            event.extend(["delay", &delay]);
        }
        if limit_ms.is_some() {
            event.extend(["limit", &limit]);
        }
        if failure.retryable && !again {
            let dead = &self.local.timings().of(kind).dead;
            dead.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        self.link.until_up(self.options.lease).await;
        let counter = if again { "retried" } else { "" };
        if let Ok(false) = self.note(claim, counter, &fields, &event).await {
            return Error::Delayed;
        }
        match failure.retryable {
            true => Error::ProcessingError(message),
            false => Error::Unrecoverable(message),
        }
    }

    /// Gives a claim back unused: the attempt is not counted.
    async fn give_back(&self, claim: &Claim) -> Error {
        let key = claim.key.clone();
        let uncounted = self
            .link
            .ask(|conn| async move {
                let mut connection = conn.redis().connection();
                let count: i64 = redis::cmd("HINCRBY")
                    .arg(&key)
                    .arg("ats")
                    .arg(-1)
                    .query_async(&mut connection)
                    .await?;
                Ok(count)
            })
            .await;
        if let Err(error) = uncounted {
            tracing::warn!(%error, id = claim.id, "an attempt that was given back counts");
        }
        // BullMQ's way to put a job back in front of the line.
        Error::RateLimited { delay_ms: 0 }
    }

    /// A result as BullMQ's return value; what is too large for that is stored beside the job.
    ///
    /// # Errors
    /// What BullMQ's worker must be told.
    pub(super) async fn hand_over(
        &self,
        queue: &str,
        job: &Job,
        result: Bytes,
    ) -> Result<Value, Error> {
        let claim = self.claim_of(queue, job);
        let (bytes, key) = (result.clone(), claim.key.clone());
        let convert = move || results::outgoing(&bytes, &key);
        let out = match result.len() {
            LARGE.. => tokio::task::spawn_blocking(convert)
                .await
                .map_err(|error| Error::ProcessingError(error.to_string()))?,
            _ => convert(),
        };
        let out = out.map_err(Error::Unrecoverable)?;
        // A result is worth waiting for: the claim is renewed meanwhile.
        self.link.until_up(self.options.lease).await;
        if out.beside {
            let keep = results::keep(self.config.retention.age_ms);
            let keep = keep.as_millis().to_string();
            let keys = [claim.key.clone()];
            let (token, lease) = (claim.token.clone(), self.options.lease);
            let kept = self.link.ask_within(lease, |conn| async move {
                let arguments = [token.as_bytes(), &result, keep.as_bytes()];
                let kept: u8 = run(&conn, scripts::KEEP, &keys, &arguments).await?;
                Ok(kept == 1)
            });
            match kept.await {
                Ok(true) => {}
                // The claim is gone, or will be: another worker runs it again.
                Ok(false) => return Err(Error::Delayed),
                Err(error) => {
                    tracing::warn!(%error, id = claim.id, "a result could not be stored");
                    return Err(Error::Delayed);
                }
            }
        }
        Ok(out.value)
    }
}

async fn read_payload(job: Job) -> Result<(Job, Result<Bytes, String>), Error> {
    let large = match job.data() {
        Value::Object(fields) => fields.values().any(|v| v.is_array() || v.is_string()),
        other => other.is_array(),
    };
    if !large {
        let payload = map::payload_from(job.data());
        return Ok((job, payload));
    }
    // How large it is nobody says before it is written out.
    tokio::task::spawn_blocking(move || {
        let payload = map::payload_from(job.data());
        (job, payload)
    })
    .await
    .map_err(|error| Error::ProcessingError(error.to_string()))
}

fn truncated(mut text: String, bytes: usize) -> String {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
