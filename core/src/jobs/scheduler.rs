//! The machine: its parts, claims and queries.

use std::collections::BTreeMap;

use super::{
    Action, Change, Event, EventKind, IdMap, JobError, JobId, Kind, Marks, Metrics, Record, Status,
    Timeline,
    metrics::Counters,
    ready::{Entry, LARGE, Ready, SMALL},
};
use crate::time::Timestamp;

/// How a scheduler behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Jobs and tasks that may wait or run, count.
    pub queued_max: usize,
    /// Chunks that may wait or run, count.
    pub chunks_max: usize,
    /// Payloads that may wait or run, jobs, tasks and chunks together, bytes.
    pub queued_bytes_max: u64,
    /// Batches that may be open or running, count.
    pub batches_max: usize,
    /// How long a claim lives without a heartbeat, milliseconds.
    pub lease_ms: u64,
    /// Work that costs more is large.
    pub large_cost: u64,
    /// Large work that may run at once: one less than the workers, so that small work never
    /// waits behind large work alone.
    pub large_max: usize,
    /// Longest error text kept, bytes.
    pub error_bytes: usize,
    /// Longest delay accepted, milliseconds.
    pub delay_max_ms: u64,
    /// Longest timeout accepted, milliseconds.
    pub timeout_max_ms: u64,
    /// Most attempts accepted.
    pub attempts_max: u32,
    /// Longest job type or idempotency key, bytes.
    pub name_bytes: usize,
    /// Seed of the retry jitter.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queued_max: 100_000,
            chunks_max: 200_000,
            queued_bytes_max: 8 << 30,
            batches_max: 10_000,
            lease_ms: 30_000,
            large_cost: 1 << 32,
            large_max: usize::MAX,
            error_bytes: 2048,
            delay_max_ms: 30 * 86_400_000,
            timeout_max_ms: 86_400_000,
            attempts_max: 101,
            name_bytes: 256,
            seed: 0,
        }
    }
}

/// The answer to a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// The job's id.
    pub id: JobId,
    /// Its primary key.
    pub seq: u64,
    /// Whether an earlier submission with the same idempotency key answers for it.
    pub deduplicated: bool,
}

/// The right to run one attempt of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub id: JobId,
    /// Its primary key.
    pub seq: u64,
    /// Its batch's key, or 0.
    pub group: u64,
    /// The fencing token: every report must carry it.
    pub token: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When the claim ends without a heartbeat.
    pub lease_until: Timestamp,
    /// When the attempt has to be over.
    pub deadline: Timestamp,
}

/// A record with what only the living machine needs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) record: Record,
    pub(super) worker: u32,
    pub(super) lease_until: Timestamp,
    pub(super) deadline: Timestamp,
    /// Where it stands in the timers.
    pub(super) timer: Option<Timestamp>,
    /// Whether it stands in line.
    pub(super) ready: bool,
    /// Whether the store has it.
    pub(super) stored: bool,
    pub(super) dirty: bool,
}

/// The scheduler. See the [module](super) for its drive loop.
#[derive(Debug)]
pub struct Scheduler {
    pub(super) config: Config,
    pub(super) now: Timestamp,
    pub(super) slots: Vec<Option<Job>>,
    pub(super) free: Vec<u32>,
    pub(super) by_id: IdMap<JobId, u32>,
    /// Kind and key. A tree, for keys come from outside and must not be able to collide.
    pub(super) by_key: BTreeMap<(Kind, Box<str>), u32>,
    pub(super) ready: Ready,
    /// Delayed jobs by their time, running ones by the earlier of lease and deadline.
    pub(super) timers: Timeline,
    /// Ended jobs by their end.
    pub(super) ended: Timeline,
    pub(super) ended_bytes: u64,
    pub(super) running_large: usize,
    /// Payloads of what waits or runs, bytes.
    pub(super) live_bytes: u64,
    pub(super) counters: [Counters; 3],
    pub(super) marks: Marks,
    pub(super) next_seq: u64,
    pub(super) next_token: u64,
    pub(super) dirty: Vec<u32>,
    pub(super) removed: Vec<(u64, JobId)>,
    pub(super) events: Vec<Event>,
    pub(super) actions: Vec<Action>,
}

impl Scheduler {
    /// An empty machine.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            now: Timestamp::ZERO,
            slots: Vec::new(),
            free: Vec::new(),
            by_id: IdMap::default(),
            by_key: BTreeMap::new(),
            ready: Ready::default(),
            timers: Timeline::new(),
            ended: Timeline::new(),
            ended_bytes: 0,
            running_large: 0,
            live_bytes: 0,
            counters: Default::default(),
            marks: Marks::default(),
            next_seq: 1,
            next_token: 1,
            dirty: Vec::new(),
            removed: Vec::new(),
            events: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// How it behaves.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Claims up to `max` jobs for a worker, in order. Call [`Self::tick`] first, so that delays
    /// that are over count.
    pub fn claim(&mut self, now: Timestamp, worker: u32, max: usize) -> Vec<Claim> {
        let now = self.advance(now);
        let mut claims = Vec::new();
        while claims.len() < max {
            let large = self.running_large < self.config.large_max;
            let Some(slot) = self.ready.pop(large) else {
                break;
            };
            claims.extend(self.start(now, worker, slot));
        }
        claims
    }

    fn start(&mut self, now: Timestamp, worker: u32, slot: u32) -> Option<Claim> {
        let token = self.take_token();
        let (lease_ms, tail) = (self.config.lease_ms, self.next_seq);
        let job = self.slots[slot as usize].as_mut()?;
        job.ready = false;
        job.worker = worker;
        job.lease_until = now.plus_ms(lease_ms);
        job.deadline = now.plus_ms(job.record.spec.timeout_ms);
        let state = &mut job.record.state;
        state.status = Status::Running;
        state.attempts += 1;
        state.token = token;
        state.progress = 0;
        state.started_at = Some(now);
        let attempt = state.attempts;
        let claim = Claim {
            id: job.record.id,
            seq: job.record.seq,
            group: job.record.group,
            token,
            attempt,
            lease_until: job.lease_until,
            deadline: job.deadline,
        };
        self.count_running(slot, true);
        self.ready.ran(claim.group, true, tail);
        self.set_timer(slot, Some(claim.lease_until.min(claim.deadline)));
        self.touch(slot);
        self.tell(slot, EventKind::Started { attempt });
        Some(claim)
    }

    /// Whether [`Self::claim`] would give something.
    #[must_use]
    pub fn claimable(&self) -> bool {
        self.ready.any(self.running_large < self.config.large_max)
    }

    /// Jobs, tasks and chunks that run now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.counters.iter().map(|c| c.active as usize).sum()
    }

    /// When to call [`Self::tick`] next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.first().map(|t| t.0)
    }

    /// The record of a job.
    ///
    /// # Errors
    /// [`JobError::NotFound`].
    pub fn get(&self, id: JobId) -> Result<&Record, JobError> {
        self.by_id
            .get(&id)
            .and_then(|slot| self.slots[*slot as usize].as_ref())
            .map(|job| &job.record)
            .ok_or(JobError::NotFound(id))
    }

    /// Every record, in no special order. O(n).
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.slots.iter().flatten().map(|job| &job.record)
    }

    /// How many would start before this job, counted up to `cap`; `None` unless it stands in
    /// line. A batch counts once. O(cap).
    #[must_use]
    pub fn position(&self, id: JobId, cap: usize) -> Option<usize> {
        let slot = *self.by_id.get(&id)?;
        let job = self.slots[slot as usize].as_ref().filter(|job| job.ready)?;
        Some(self.ready.before(self.entry(slot, &job.record), cap))
    }

    /// The counters of one kind of work.
    #[must_use]
    pub fn metrics(&self, kind: Kind) -> Metrics {
        self.counters[kind.index()].view()
    }

    /// Hands out what must be written, each record once, and considers it written.
    pub fn drain_changes(&mut self, mut write: impl FnMut(Change<'_>)) {
        for (seq, id) in self.removed.drain(..) {
            write(Change::Remove { seq, id });
        }
        for slot in self.dirty.drain(..) {
            let Some(job) = self.slots[slot as usize].as_mut().filter(|job| job.dirty) else {
                continue;
            };
            job.dirty = false;
            let stored = core::mem::replace(&mut job.stored, true);
            write(if stored {
                Change::Update(&job.record)
            } else {
                Change::Insert(&job.record)
            });
        }
    }

    /// Whether [`Self::drain_changes`] would hand out something.
    #[must_use]
    pub fn changed(&self) -> bool {
        !self.dirty.is_empty() || !self.removed.is_empty()
    }

    /// What to announce, in order.
    pub fn drain_events(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.events)
    }

    /// What to do, in order.
    pub fn drain_actions(&mut self) -> Vec<Action> {
        core::mem::take(&mut self.actions)
    }

    pub(super) fn entry(&self, slot: u32, record: &Record) -> Entry {
        let large = record.spec.cost > self.config.large_cost && record.group == 0;
        Entry {
            slot,
            seq: record.seq,
            priority: record.spec.priority,
            group: record.group,
            lane: if large { LARGE } else { SMALL },
        }
    }
}
