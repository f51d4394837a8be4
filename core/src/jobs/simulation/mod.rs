//! The scheduler and the batch ledger under simulated faults: crashes of workers and of the whole
//! process, failed writes, clock jumps. One seed, one history; the invariants are checked after
//! every step.

mod check;
mod faults;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Backoff, BatchId, Claim, Config, Fault, JobError, JobId, JobSpec, Kind, Marks, Record,
    Retention, Scheduler, Status,
};

use crate::{
    batch::{BatchOptions, Book, Ledger},
    rng::Rng,
    time::Timestamp,
};

/// What a history contained, so that a test can see that the faults did happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs and chunks acknowledged.
    pub acknowledged: u64,
    /// Claims handed out.
    pub claims: u64,
    /// Reports with a stale token, all refused.
    pub stale: u64,
    /// Ends of the whole process.
    pub crashes: u64,
    /// Writes that failed.
    pub write_failures: u64,
    /// Jobs that ended as dead letters.
    pub dead: u64,
    /// Jumps of the clock.
    pub jumps: u64,
}

const BROKE: Fault<'_> = Fault {
    message: "broke",
    code: "BROKE",
    retryable: true,
};
const BAD: Fault<'_> = Fault {
    message: "bad input",
    code: "BAD",
    retryable: false,
};

/// What survives a crash.
#[derive(Default)]
struct Store {
    records: BTreeMap<u64, Record>,
    books: BTreeMap<u64, Book>,
    marks: Marks,
}

/// What a round wants to tell its callers, once it is committed.
#[derive(Default)]
struct Replies {
    submitted: Vec<JobId>,
    opened: Vec<BatchId>,
    claims: Vec<Claim>,
    reported: Vec<u64>,
    completed: Vec<JobId>,
}

struct World {
    rng: Rng,
    now: Timestamp,
    scheduler: Scheduler,
    ledger: Ledger,
    store: Store,
    replies: Replies,
    /// Acknowledged and not known to have ended.
    pending: BTreeSet<JobId>,
    /// Acknowledged as completed: must never run again.
    completed: BTreeSet<JobId>,
    /// Swept after their end, as their retention allows.
    swept: BTreeSet<JobId>,
    batches: Vec<BatchId>,
    /// Batches that were sealed, committed or not.
    sealed: BTreeSet<BatchId>,
    /// Claims that workers believe in; some are stale.
    held: Vec<Claim>,
    /// Tokens that must be refused from now on.
    dead_tokens: BTreeSet<u64>,
    token_max: u64,
    tally: Tally,
}

fn config() -> Config {
    Config {
        queued_max: 40,
        chunks_max: 40,
        queued_bytes_max: 3_000,
        lease_ms: 3_000,
        large_cost: 100,
        large_max: 2,
        ..Config::default()
    }
}

/// Plays one history to its end.
///
/// # Panics
/// When an invariant of the scheduler does not hold.
#[must_use]
pub fn simulate(seed: u64) -> Tally {
    let mut world = World {
        rng: Rng::new(seed),
        now: Timestamp(1_000_000_000),
        scheduler: Scheduler::new(config()),
        ledger: Ledger::default(),
        store: Store::default(),
        replies: Replies::default(),
        pending: BTreeSet::new(),
        completed: BTreeSet::new(),
        swept: BTreeSet::new(),
        batches: Vec::new(),
        sealed: BTreeSet::new(),
        held: Vec::new(),
        dead_tokens: BTreeSet::new(),
        token_max: 0,
        tally: Tally::default(),
    };
    for _ in 0..world.rng.below(60) + 20 {
        world.round();
    }
    world.settle();
    world.tally
}

impl World {
    fn chance(&mut self, percent: u64) -> bool {
        self.rng.below(100) < percent
    }

    fn entropy(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.rng.next_u64().to_le_bytes());
        bytes[8..].copy_from_slice(&self.rng.next_u64().to_le_bytes());
        bytes
    }

    /// One turn of the drive loop, with everything that can go wrong.
    fn round(&mut self) {
        self.pass_time();
        for _ in 0..self.rng.below(6) + 1 {
            match self.rng.below(20) {
                0..5 => self.submit(),
                5..10 => self.claim(),
                10..15 => self.report(),
                15 => self.cancel(),
                16 => self.open_batch(),
                17 => self.grow_batch(),
                18 if self.chance(30) => self.sweep(),
                18 => self.retry(),
                _ => self.report_stale(),
            }
        }
        self.scheduler.tick(self.now);
        self.ledger.tick(self.now, &mut self.scheduler);
        match self.rng.below(100) {
            0..3 => self.crash(false),
            3..6 => self.crash(true),
            6..12 => self.fail_write(),
            _ => self.commit(),
        }
        self.check();
    }

    fn pass_time(&mut self) {
        let step = match self.rng.below(100) {
            0..2 => 3_600_000,
            2..10 => 10_000,
            _ => self.rng.below(900),
        };
        if self.chance(2) {
            self.tally.jumps += 1;
            self.now = Timestamp(self.now.0 - self.rng.below(500_000));
        } else {
            self.now = self.now.plus_ms(step);
        }
        if self.chance(10) && !self.held.is_empty() {
            let lost = self.rng.below(self.held.len() as u64) as usize;
            self.held.swap_remove(lost);
        }
    }

    fn submit(&mut self) {
        let kind = if self.chance(50) {
            Kind::Job
        } else {
            Kind::Task
        };
        let key = self.rng.below(4);
        let spec = JobSpec {
            priority: self.rng.below(4) as i32 - 1,
            delay_ms: [0, 0, 0, 2_000][self.rng.below(4) as usize],
            timeout_ms: 1_000 + self.rng.below(9_000),
            max_attempts: self.rng.below(4) as u32,
            backoff: Backoff {
                base_ms: 500,
                max_ms: 20_000,
                jitter: 0.2,
            },
            idempotency_key: (key == 0).then(|| self.rng.below(9).to_string().into()),
            cost: self.rng.below(130),
            payload_bytes: self.rng.below(100),
            ..JobSpec::new(kind, "simulated")
        };
        let entropy = self.entropy();
        match self.scheduler.submit(self.now, entropy, spec) {
            Ok(submitted) => self.replies.submitted.push(submitted.id),
            Err(JobError::FullBytes { limit }) => {
                assert!(self.scheduler.live_bytes + 100 > limit);
            }
            Err(error) => assert_eq!(error, JobError::Full { limit: 40 }),
        }
    }

    fn open_batch(&mut self) {
        let options = BatchOptions {
            max_concurrency: 1 + self.rng.below(3) as u32,
            timeout_ms: 60_000,
            chunk_timeout_ms: 5_000,
            max_attempts: 1 + self.rng.below(2) as u32,
            stop_on_error: self.chance(20),
            priority: self.rng.below(2) as i32,
            ..BatchOptions::default()
        };
        let entropy = self.entropy();
        let opened = self
            .ledger
            .open(self.now, entropy, options, &mut self.scheduler);
        let Ok((id, _)) = opened else { return };
        self.replies.opened.push(id);
    }

    fn grow_batch(&mut self) {
        let Some(id) = self.replies.opened.last().or(self.batches.last()).copied() else {
            return;
        };
        for _ in 0..self.rng.below(5) {
            let Ok(chunk) = self
                .ledger
                .append(self.now, id, 10, 100, &mut self.scheduler)
            else {
                break;
            };
            self.replies.submitted.push(chunk.id);
        }
        if self.chance(60) {
            self.sealed.insert(id);
            let _ = self.ledger.seal(self.now, id, &mut self.scheduler);
        }
    }

    /// A worker says something about a claim that it holds.
    fn report(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let pick = self.rng.below(self.held.len() as u64) as usize;
        let Claim { id, token, .. } = self.held[pick];
        let now = self.now;
        let what = self.rng.below(10);
        let outcome = match what {
            0..4 => self.scheduler.complete(now, id, token, 10),
            4 | 5 => self.scheduler.fail(now, id, token, BROKE),
            6 => self.scheduler.fail(now, id, token, BAD),
            7 => self.scheduler.release(now, id, token),
            8 => self.scheduler.heartbeat(now, id, token).map(drop),
            _ => self.scheduler.progress(now, id, token, what as u8 * 7),
        };
        if self.dead_tokens.contains(&token) {
            assert!(outcome.is_err(), "stale token {token} of {id} was accepted");
        }
        if outcome.is_ok() && what < 8 {
            self.replies.reported.push(token);
            if what < 4 {
                self.replies.completed.push(id);
            }
        }
    }

    fn report_stale(&mut self) {
        let Some(&token) = self.dead_tokens.last() else {
            return;
        };
        for id in self.pending.iter().copied().take(3) {
            let outcome = self.scheduler.complete(self.now, id, token, 0);
            assert!(outcome.is_err(), "stale token {token} completed {id}");
            self.tally.stale += 1;
        }
    }

    fn cancel(&mut self) {
        let nth = self.rng.below(self.pending.len().max(1) as u64) as usize;
        if let Some(id) = self.pending.iter().nth(nth).copied() {
            let _ = self.scheduler.cancel(self.now, id);
        }
        if let Some(id) = self.batches.last().copied()
            && self.chance(10)
        {
            let _ = self.ledger.cancel(self.now, id, &mut self.scheduler);
        }
    }

    fn retry(&mut self) {
        let failed = |r: &&Record| r.state.status == Status::Failed;
        let failed = self.scheduler.records().find(failed).map(|r| r.id);
        if let Some(id) = failed {
            match self.scheduler.retry_dead(self.now, id) {
                Ok(()) => self.replies.submitted.push(id),
                Err(JobError::Full { .. } | JobError::FullBytes { .. }) => {}
                Err(error) => unreachable!("{error}"),
            }
        }
    }

    fn sweep(&mut self) {
        self.enter_events();
        let ended = |r: &&Record| r.state.status.ended();
        let before: Vec<JobId> = self
            .scheduler
            .records()
            .filter(ended)
            .map(|r| r.id)
            .collect();
        let retention = Retention {
            age_ms: 60_000,
            count: 10,
            bytes: 1_000,
        };
        let swept = self.scheduler.sweep(self.now, &retention, 5);
        self.ledger.sweep(self.now, &retention, 5);
        let gone = before
            .into_iter()
            .filter(|id| self.scheduler.get(*id).is_err());
        let gone: Vec<JobId> = gone.collect();
        assert_eq!(gone.len(), swept, "only what has ended is swept");
        self.swept.extend(gone);
    }

    /// No more faults: everything must come to its end.
    fn settle(&mut self) {
        for id in self.batches.clone() {
            self.sealed.insert(id);
            let _ = self.ledger.seal(self.now, id, &mut self.scheduler);
        }
        self.commit();
        for _ in 0..10_000 {
            self.now = self.now.plus_ms(10);
            self.scheduler.tick(self.now);
            self.ledger.tick(self.now, &mut self.scheduler);
            for claim in self.scheduler.claim(self.now, 1, usize::MAX) {
                let done = self.scheduler.complete(self.now, claim.id, claim.token, 0);
                assert_eq!(done, Ok(()));
            }
            self.commit();
            let timers = [self.scheduler.next_deadline(), self.ledger.next_deadline()];
            match timers.into_iter().flatten().min() {
                _ if self.scheduler.claimable() => {}
                Some(next) => self.now = self.now.max(next),
                None => break,
            }
        }
        self.check();
        let open = self.scheduler.records().find(|r| !r.state.status.ended());
        assert_eq!(open, None, "never ended");
        assert!(self.ledger.books().all(|book| book.status.ended()));
    }
}
