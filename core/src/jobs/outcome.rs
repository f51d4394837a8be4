//! What becomes of a claim: heartbeats, progress, completion, failure, release, cancellation.

use super::{
    Action, EventKind, Fault, Interruption, JobError, JobId, Kind, Scheduler, Status, ready::LARGE,
};
use crate::time::Timestamp;

impl Scheduler {
    /// Keeps a claim alive; gives its new end. Not written down: after a restart every claim is
    /// void anyway.
    ///
    /// # Errors
    /// [`JobError::NotFound`] or [`JobError::Stale`]: the worker has to stop.
    pub fn heartbeat(
        &mut self,
        now: Timestamp,
        id: JobId,
        token: u64,
    ) -> Result<Timestamp, JobError> {
        let now = self.advance(now);
        let slot = self.claimed(id, token)?;
        let until = now.plus_ms(self.config.lease_ms);
        let mut timer = until;
        if let Some(job) = self.slots[slot as usize].as_mut() {
            job.lease_until = until;
            timer = until.min(job.deadline);
        }
        self.set_timer(slot, Some(timer));
        Ok(until)
    }

    /// Reports percent done; never goes back within an attempt. Not written down.
    ///
    /// # Errors
    /// [`JobError::NotFound`] or [`JobError::Stale`].
    pub fn progress(
        &mut self,
        now: Timestamp,
        id: JobId,
        token: u64,
        percent: u8,
    ) -> Result<(), JobError> {
        self.advance(now);
        let slot = self.claimed(id, token)?;
        let percent = percent.min(100);
        let Some(job) = self.slots[slot as usize].as_mut() else {
            return Ok(());
        };
        if percent > job.record.state.progress {
            job.record.state.progress = percent;
            self.tell(slot, EventKind::Progress(percent));
        }
        Ok(())
    }

    /// The job is done; the shell stores its result in the same transaction.
    ///
    /// # Errors
    /// [`JobError::NotFound`] or [`JobError::Stale`]: the result must be thrown away.
    pub fn complete(
        &mut self,
        now: Timestamp,
        id: JobId,
        token: u64,
        result_bytes: u64,
    ) -> Result<(), JobError> {
        let now = self.advance(now);
        let slot = self.claimed(id, token)?;
        self.stop_running(slot);
        let Some(job) = self.slots[slot as usize].as_mut() else {
            return Ok(());
        };
        let state = &mut job.record.state;
        let run_ms = now.ms_since(state.started_at.unwrap_or(now));
        state.status = Status::Completed;
        state.progress = 100;
        state.completed_at = Some(now);
        state.error = None;
        state.code = None;
        state.result_bytes = result_bytes;
        let counters = &mut self.counters[id.kind.index()];
        counters.completed += 1;
        counters.ran(run_ms);
        self.tell(
            slot,
            EventKind::Completed {
                run_ms,
                result_bytes,
            },
        );
        self.end(now, slot);
        Ok(())
    }

    /// The attempt failed. If the fault is retryable and attempts are left, another follows after the
    /// backoff.
    ///
    /// # Errors
    /// [`JobError::NotFound`] or [`JobError::Stale`].
    pub fn fail(
        &mut self,
        now: Timestamp,
        id: JobId,
        token: u64,
        fault: Fault<'_>,
    ) -> Result<(), JobError> {
        let now = self.advance(now);
        let slot = self.claimed(id, token)?;
        self.attempt_failed(now, slot, fault);
        Ok(())
    }

    /// Gives a claim back unused (a drain): the attempt is not counted.
    ///
    /// # Errors
    /// [`JobError::NotFound`] or [`JobError::Stale`].
    pub fn release(&mut self, now: Timestamp, id: JobId, token: u64) -> Result<(), JobError> {
        let now = self.advance(now);
        let slot = self.claimed(id, token)?;
        if let Some(job) = self.slots[slot as usize].as_mut() {
            job.record.state.attempts = job.record.state.attempts.saturating_sub(1);
        }
        self.requeue(now, slot);
        self.tell(slot, EventKind::Requeued);
        Ok(())
    }

    /// Cancels a job that has not ended. If it runs, its token is stale from now on and an
    /// [`Action::Interrupt`] tells the shell to stop it. Gives whether it ran.
    ///
    /// # Errors
    /// [`JobError::NotFound`], or [`JobError::Ended`].
    pub fn cancel(&mut self, now: Timestamp, id: JobId) -> Result<bool, JobError> {
        let now = self.advance(now);
        let slot = *self.by_id.get(&id).ok_or(JobError::NotFound(id))?;
        let job = self.slots[slot as usize]
            .as_ref()
            .ok_or(JobError::NotFound(id))?;
        let (status, token) = (job.record.state.status, job.record.state.token);
        match status {
            Status::Queued => {
                self.dequeue(slot);
                self.counters[id.kind.index()].queued -= 1;
            }
            Status::Running => {
                let why = Interruption::Cancelled;
                self.actions.push(Action::Interrupt { id, token, why });
                self.stop_running(slot);
            }
            Status::Completed | Status::Failed | Status::Cancelled => {
                return Err(JobError::Ended { id, status });
            }
        }
        if let Some(job) = self.slots[slot as usize].as_mut() {
            job.record.state.status = Status::Cancelled;
            job.record.state.completed_at = Some(now);
        }
        self.counters[id.kind.index()].cancelled += 1;
        self.tell(slot, EventKind::Cancelled);
        self.end(now, slot);
        Ok(status == Status::Running)
    }

    /// Puts a failed job back in line with all its attempts before it.
    ///
    /// # Errors
    /// [`JobError::NotFound`], [`JobError::NotFailed`] or [`JobError::Full`].
    pub fn retry_dead(&mut self, now: Timestamp, id: JobId) -> Result<(), JobError> {
        let now = self.advance(now);
        let record = self.get(id)?;
        let (status, bytes) = (record.state.status, record.spec.payload_bytes);
        if status != Status::Failed {
            return Err(JobError::NotFailed { id, status });
        }
        self.check_room(id.kind, 1, bytes)?;
        let slot = *self.by_id.get(&id).ok_or(JobError::NotFound(id))?;
        self.unend(slot);
        self.live_bytes += bytes;
        let Some(job) = self.slots[slot as usize].as_mut() else {
            return Ok(());
        };
        let state = &mut job.record.state;
        state.status = Status::Queued;
        state.dead = false;
        state.attempts = 0;
        state.failed_at = None;
        state.run_at = now;
        state.progress = 0;
        let counters = &mut self.counters[id.kind.index()];
        counters.failed = counters.failed.saturating_sub(1);
        counters.queued += 1;
        self.enqueue(slot);
        self.touch(slot);
        self.tell(slot, EventKind::Queued);
        Ok(())
    }

    /// The slot of a job whose live token this is.
    fn claimed(&self, id: JobId, token: u64) -> Result<u32, JobError> {
        let slot = *self.by_id.get(&id).ok_or(JobError::NotFound(id))?;
        let job = self.slots[slot as usize]
            .as_ref()
            .ok_or(JobError::NotFound(id))?;
        let state = &job.record.state;
        if state.status == Status::Running && state.token == token {
            Ok(slot)
        } else {
            Err(JobError::Stale { id, token })
        }
    }

    /// Ends the attempt in a failure: again later, or for good.
    pub(super) fn attempt_failed(&mut self, now: Timestamp, slot: u32, fault: Fault<'_>) {
        let Fault {
            message,
            code,
            retryable,
        } = fault;
        let error: Box<str> = truncated(message, self.config.error_bytes).into();
        let code: Box<str> = truncated(code, self.config.name_bytes).into();
        let seed = self.config.seed;
        let Some(job) = self.slots[slot as usize].as_mut() else {
            return;
        };
        let (seq, kind) = (job.record.seq, job.record.id.kind);
        let left = job.record.state.attempts < job.record.max_attempts();
        job.record.state.error = Some(error.clone());
        job.record.state.code = Some(code);
        if retryable && left {
            let attempt = job.record.state.attempts;
            let seed = seed ^ seq.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let delay_ms = job.record.spec.backoff.delay_ms(attempt, seed);
            self.counters[kind.index()].retried += 1;
            self.requeue(now.plus_ms(delay_ms), slot);
            self.tell(slot, EventKind::Retry { delay_ms, error });
            return;
        }
        self.stop_running(slot);
        let Some(job) = self.slots[slot as usize].as_mut() else {
            return;
        };
        job.record.state.status = Status::Failed;
        job.record.state.dead = retryable;
        job.record.state.failed_at = Some(now);
        self.counters[kind.index()].failed += 1;
        self.tell(
            slot,
            EventKind::Failed {
                error,
                dead: retryable,
            },
        );
        self.end(now, slot);
    }

    /// The worker is gone: back in line at once, the attempt counted; a dead letter when that was
    /// the last.
    pub(super) fn lost(&mut self, now: Timestamp, slot: u32) {
        let Some(job) = self.slots[slot as usize].as_ref() else {
            return;
        };
        if job.record.state.attempts < job.record.max_attempts() {
            self.requeue(now, slot);
            self.tell(slot, EventKind::Requeued);
        } else {
            let attempts = job.record.state.attempts;
            let error = format!("its worker was lost in attempt {attempts} of {attempts}");
            let fault = Fault {
                message: &error,
                code: "WORKER_LOST",
                retryable: true,
            };
            self.attempt_failed(now, slot, fault);
        }
    }

    fn requeue(&mut self, run_at: Timestamp, slot: u32) {
        self.stop_running(slot);
        let Some(job) = self.slots[slot as usize].as_mut() else {
            return;
        };
        job.record.state.status = Status::Queued;
        job.record.state.run_at = run_at;
        job.record.state.progress = 0;
        let kind = job.record.id.kind;
        self.counters[kind.index()].queued += 1;
        self.enqueue(slot);
        self.touch(slot);
    }

    /// Takes a running job off its worker. The caller gives it its next status.
    fn stop_running(&mut self, slot: u32) {
        self.set_timer(slot, None);
        self.count_running(slot, false);
        let group = self.slots[slot as usize]
            .as_ref()
            .map_or(0, |job| job.record.group);
        self.ready.ran(group, false, self.next_seq);
    }

    /// Counts a job that began to run, from queued, or stopped.
    pub(super) fn count_running(&mut self, slot: u32, began: bool) {
        let Some(job) = self.slots[slot as usize].as_ref() else {
            return;
        };
        let large = self.entry(slot, &job.record).lane == LARGE;
        let counters = &mut self.counters[job.record.id.kind.index()];
        if began {
            counters.queued -= 1;
            counters.active += 1;
            self.running_large += usize::from(large);
        } else {
            counters.active -= 1;
            self.running_large -= usize::from(large);
        }
    }

    /// After the last status: to be kept until swept; a chunk goes at once, for its batch keeps
    /// what is worth keeping.
    fn end(&mut self, now: Timestamp, slot: u32) {
        let Some(job) = self.slots[slot as usize].as_ref() else {
            return;
        };
        self.live_bytes -= job.record.spec.payload_bytes;
        if job.record.id.kind == Kind::Chunk {
            self.forget(slot);
            return;
        }
        self.ended_bytes += job.record.spec.payload_bytes + job.record.state.result_bytes;
        self.ended.insert((now, u64::from(slot)));
        self.touch(slot);
    }
}

/// The longest prefix of at most `bytes` bytes that ends between characters.
pub fn truncated(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
