//! Time: delays, leases and deadlines, and a clock that may jump.

use super::{Action, EventKind, Fault, Interruption, Scheduler, Status};
use crate::time::Timestamp;

/// A clock that goes back by no more than this is only slewing: time stands still for a moment.
pub(crate) const SLEW_MS: u64 = 1000;

impl Scheduler {
    /// Lets time pass: delays that are over put their jobs in line, a lease that was not kept
    /// gives the job back (its attempt counted), a deadline that passed fails the attempt.
    /// O(log n) per job concerned.
    pub fn tick(&mut self, now: Timestamp) {
        let now = self.advance(now);
        while let Some(&(at, slot)) = self.timers.first() {
            if at > now {
                break;
            }
            let slot = slot as u32;
            self.set_timer(slot, None);
            self.due(now, slot);
        }
    }

    fn due(&mut self, now: Timestamp, slot: u32) {
        let Some(job) = self.slots[slot as usize].as_ref() else {
            return;
        };
        if job.record.state.status != Status::Running {
            self.enqueue(slot);
            return;
        }
        let (id, token) = (job.record.id, job.record.state.token);
        let timed_out = job.deadline <= now;
        let limit = job.record.spec.timeout_ms;
        let why = if timed_out {
            Interruption::TimedOut
        } else {
            Interruption::LeaseLost
        };
        self.actions.push(Action::Interrupt { id, token, why });
        if timed_out {
            self.tell(slot, EventKind::TimedOut { limit_ms: limit });
            let message = format!("timed out after {limit} ms");
            let fault = Fault {
                message: &message,
                code: "TIMED_OUT",
                retryable: true,
            };
            self.attempt_failed(now, slot, fault);
        } else {
            self.lost(now, slot);
        }
    }

    /// Takes the caller's time. A clock that jumped back shifts every timer with it, so that what
    /// had a minute to go still has a minute to go.
    pub(super) fn advance(&mut self, now: Timestamp) -> Timestamp {
        let back = self.now.ms_since(now);
        if back > SLEW_MS {
            self.shift(back);
            self.now = now;
        } else if back == 0 {
            self.now = now;
        }
        self.now
    }

    /// Moves every timer and every time to run back by `ms`. O(n log n), once per jump.
    fn shift(&mut self, ms: u64) {
        let earlier = |at: Timestamp| Timestamp(at.0.saturating_sub(ms));
        for (at, slot) in core::mem::take(&mut self.timers) {
            let slot = slot as u32;
            let Some(job) = self.slots[slot as usize].as_mut() else {
                continue;
            };
            job.timer = Some(earlier(at));
            job.lease_until = earlier(job.lease_until);
            job.deadline = earlier(job.deadline);
            self.timers.insert((earlier(at), u64::from(slot)));
            if job.record.state.status == Status::Queued {
                job.record.state.run_at = earlier(job.record.state.run_at);
                self.touch(slot);
            }
        }
        for slot in 0..self.slots.len() as u32 {
            // In line already: it must not wait again after a restart.
            if let Some(job) = self.slots[slot as usize].as_mut().filter(|job| job.ready) {
                job.record.state.run_at = earlier(job.record.state.run_at);
                self.touch(slot);
            }
        }
    }

    pub(super) fn set_timer(&mut self, slot: u32, at: Option<Timestamp>) {
        let Some(job) = self.slots[slot as usize].as_mut() else {
            return;
        };
        if job.timer == at {
            return;
        }
        if let Some(old) = core::mem::replace(&mut job.timer, at) {
            self.timers.remove(&(old, u64::from(slot)));
        }
        if let Some(at) = at {
            self.timers.insert((at, u64::from(slot)));
        }
    }

    /// Puts a queued job in line, or among the timers until its time has come.
    pub(super) fn enqueue(&mut self, slot: u32) {
        let Some(job) = self.slots[slot as usize].as_ref() else {
            return;
        };
        let run_at = job.record.state.run_at;
        if run_at > self.now {
            self.set_timer(slot, Some(run_at));
            return;
        }
        let entry = self.entry(slot, &job.record);
        self.ready.insert(entry, self.next_seq);
        if let Some(job) = self.slots[slot as usize].as_mut() {
            job.ready = true;
        }
    }

    /// Takes a queued job out of line and of the timers.
    pub(super) fn dequeue(&mut self, slot: u32) {
        self.set_timer(slot, None);
        let Some(job) = self.slots[slot as usize].as_ref().filter(|job| job.ready) else {
            return;
        };
        let entry = self.entry(slot, &job.record);
        self.ready.remove(entry, self.next_seq);
        if let Some(job) = self.slots[slot as usize].as_mut() {
            job.ready = false;
        }
    }

    pub(super) fn tell(&mut self, slot: u32, kind: EventKind) {
        let Some(job) = self.slots[slot as usize].as_ref() else {
            return;
        };
        let record = &job.record;
        self.events.push(super::Event {
            at: self.now,
            id: record.id,
            seq: record.seq,
            group: record.group,
            cost: record.spec.cost,
            kind,
        });
    }
}
