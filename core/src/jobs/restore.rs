//! From the store back to a machine.

use serde::{Deserialize, Serialize};

use super::{Config, Record, Scheduler, Status};
use crate::time::Timestamp;

/// How far sequence numbers and tokens are reserved. The shell writes it whenever it changed, in
/// the same transaction as the records: once in a million numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Marks {
    /// No sequence number is above this.
    pub seq: u64,
    /// No token is above this.
    pub token: u64,
}

/// Numbers reserved at once: 2^33 restarts before an id passes 2^53.
const RESERVE: u64 = 1 << 20;

/// A batch as [`Scheduler::restore`] needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupRecord {
    /// Its key.
    pub key: u64,
    /// Chunks that may run at once.
    pub limit: u32,
}

impl Scheduler {
    /// The machine that these records tell of. What ran goes back in line with its attempt
    /// counted and its token stale, unless `alive` vouches for the token: the process that runs it
    /// still lives (after a failed write). Changes, such as dead letters, await the next drain.
    ///
    /// The order of `records` does not matter. O(n log n).
    pub fn restore(
        config: Config,
        now: Timestamp,
        marks: Marks,
        groups: impl IntoIterator<Item = GroupRecord>,
        records: impl IntoIterator<Item = Record>,
        alive: impl Fn(u64) -> bool,
    ) -> Self {
        let mut machine = Self::new(config);
        machine.now = now;
        machine.marks = marks;
        machine.next_seq = marks.seq + 1;
        machine.next_token = marks.token + 1;
        for group in groups {
            machine.ready.open(group.key, group.limit);
        }
        let mut orphans = Vec::new();
        for record in records {
            machine.readmit(now, record, &alive, &mut orphans);
        }
        for slot in orphans {
            machine.lost(now, slot);
        }
        machine
    }

    fn readmit(
        &mut self,
        now: Timestamp,
        mut record: Record,
        alive: &impl Fn(u64) -> bool,
        orphans: &mut Vec<u32>,
    ) {
        let (status, kind) = (record.state.status, record.id.kind);
        // A clock that was ahead must not leave a job waiting for years.
        let longest = record.spec.delay_ms.max(record.spec.backoff.max_ms);
        let latest = now.plus_ms(longest);
        let clamped = record.state.run_at > latest;
        record.state.run_at = record.state.run_at.min(latest);
        let ended_at = record.ended_at();
        let payload_bytes = record.spec.payload_bytes;
        let bytes = payload_bytes + record.state.result_bytes;
        let key = record.spec.idempotency_key.clone().map(|key| (kind, key));
        let (group, token) = (record.group, record.state.token);
        let timeout_ms = record.spec.timeout_ms;
        let slot = self.place(record, true);
        if let Some(key) = key {
            self.by_key.insert(key, slot);
        }
        if clamped {
            self.touch(slot);
        }
        if !status.ended() {
            self.live_bytes += payload_bytes;
        }
        let counters = &mut self.counters[kind.index()];
        counters.total += 1;
        match status {
            Status::Queued => counters.queued += 1,
            // As if queued: counted as running below.
            Status::Running => counters.queued += 1,
            Status::Completed => counters.completed += 1,
            Status::Failed => counters.failed += 1,
            Status::Cancelled => counters.cancelled += 1,
        }
        match status {
            Status::Queued => self.enqueue(slot),
            Status::Running => {
                self.count_running(slot, true);
                self.ready.ran(group, true, self.next_seq);
                if alive(token) {
                    self.keep_running(now, slot, timeout_ms);
                } else {
                    orphans.push(slot);
                }
            }
            Status::Completed | Status::Failed | Status::Cancelled => {
                self.ended_bytes += bytes;
                self.ended
                    .insert((ended_at.unwrap_or(now), u64::from(slot)));
            }
        }
    }

    fn keep_running(&mut self, now: Timestamp, slot: u32, timeout_ms: u64) {
        let lease_until = now.plus_ms(self.config.lease_ms);
        let Some(job) = self.slots[slot as usize].as_mut() else {
            return;
        };
        let started = job.record.state.started_at.unwrap_or(now).min(now);
        job.lease_until = lease_until;
        job.deadline = started.plus_ms(timeout_ms);
        let timer = lease_until.min(job.deadline);
        self.set_timer(slot, Some(timer));
    }

    /// What to write beside the records; see [`Marks`].
    #[must_use]
    pub const fn marks(&self) -> Marks {
        self.marks
    }

    pub(super) fn take_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        if seq > self.marks.seq {
            self.marks.seq = seq + RESERVE;
        }
        seq
    }

    pub(super) fn take_token(&mut self) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        if token > self.marks.token {
            self.marks.token = token + RESERVE;
        }
        token
    }
}
