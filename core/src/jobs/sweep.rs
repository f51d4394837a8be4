//! Forgetting: retention of ended jobs, and the slab that holds them all.

use serde::{Deserialize, Serialize};

use super::{JobId, Record, Scheduler, scheduler::Job};
use crate::time::Timestamp;

/// How long ended work is kept; whichever limit is passed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Age since the end, milliseconds.
    pub age_ms: u64,
    /// Ended jobs, count.
    pub count: usize,
    /// Payloads and results of ended jobs, bytes.
    pub bytes: u64,
}

impl Default for Retention {
    /// A day, 100,000 jobs, 1 GiB.
    fn default() -> Self {
        Self {
            age_ms: 86_400_000,
            count: 100_000,
            bytes: 1 << 30,
        }
    }
}

impl Scheduler {
    /// Forgets ended jobs beyond the retention, oldest first, at most `steps` of them. Gives how
    /// many; as many as `steps` means that more may be due.
    pub fn sweep(&mut self, now: Timestamp, retention: &Retention, steps: usize) -> usize {
        let now = self.advance(now);
        let mut swept = 0;
        while swept < steps
            && let Some(&(at, slot)) = self.ended.first()
            && (now.ms_since(at) > retention.age_ms
                || self.ended.len() > retention.count
                || self.ended_bytes > retention.bytes)
        {
            self.unend(slot as u32);
            self.forget(slot as u32);
            swept += 1;
        }
        swept
    }

    /// Ended jobs that are kept, and the bytes of their payloads and results.
    #[must_use]
    pub fn kept(&self) -> (usize, u64) {
        (self.ended.len(), self.ended_bytes)
    }

    /// Takes a job out of the ended ones.
    pub(super) fn unend(&mut self, slot: u32) {
        let Some(job) = self.slots[slot as usize].as_ref() else {
            return;
        };
        if let Some(at) = job.record.ended_at()
            && self.ended.remove(&(at, u64::from(slot)))
        {
            let bytes = job.record.spec.payload_bytes + job.record.state.result_bytes;
            self.ended_bytes -= bytes;
        }
    }

    /// Drops a record that is in no queue any more.
    pub(super) fn forget(&mut self, slot: u32) {
        let Some(job) = self.slots[slot as usize].take() else {
            return;
        };
        let Record { seq, id, spec, .. } = job.record;
        self.by_id.remove(&id);
        if let Some(key) = spec.idempotency_key {
            self.by_key.remove(&(spec.kind, key));
        }
        if job.stored {
            self.removed.push((seq, id));
        }
        // A slot named in the dirty list may be used anew before the drain; the flag of its new
        // job decides there, so that each record is still handed out once.
        self.free.push(slot);
    }

    pub(super) fn place(&mut self, record: Record, stored: bool) -> u32 {
        let id: JobId = record.id;
        let job = Job {
            record,
            worker: 0,
            lease_until: Timestamp::ZERO,
            deadline: Timestamp::FAR_FUTURE,
            timer: None,
            ready: false,
            stored,
            dirty: false,
        };
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        match self.slots.get_mut(slot as usize) {
            Some(hole) => *hole = Some(job),
            None => self.slots.push(Some(job)),
        }
        self.by_id.insert(id, slot);
        slot
    }

    /// Marks a record to be written.
    pub(super) fn touch(&mut self, slot: u32) {
        if let Some(job) = self.slots[slot as usize].as_mut()
            && !core::mem::replace(&mut job.dirty, true)
        {
            self.dirty.push(slot);
        }
    }
}
