//! What must hold, checked against naive searches.

use std::collections::{BTreeMap, BTreeSet};

use super::{World, config};
use crate::{
    jobs::{JobId, Kind, Record, Status},
    time::Timestamp,
};

impl World {
    /// Claims one and compares with a naive search for what should come first.
    pub(super) fn claim(&mut self) {
        self.scheduler.tick(self.now);
        self.enter_events();
        let now = self.scheduler.now;
        let best = self
            .eligible(now)
            .min_by_key(|r| (-i64::from(r.spec.priority), r.seq));
        let best = best.map(|r| (r.id, r.spec.priority));
        let claims = self.scheduler.claim(self.now, 1, 1);
        assert_eq!(
            claims.is_empty(),
            best.is_none(),
            "idle while {best:?} could run"
        );
        let (Some(claim), Some((_, priority))) = (claims.first(), best) else {
            return;
        };
        assert!(claim.token > self.token_max, "tokens must grow for ever");
        self.token_max = claim.token;
        assert!(
            !self.completed.contains(&claim.id),
            "{} runs after its completion",
            claim.id
        );
        let Ok(record) = self.scheduler.get(claim.id) else {
            panic_lost(claim.id)
        };
        assert_eq!(record.spec.priority, priority, "priority order");
        let (seq, group) = (record.seq, record.group);
        let singles = self
            .eligible(now)
            .filter(|r| r.group == 0 && r.spec.priority == priority);
        let first = singles.map(|r| r.seq).min().unwrap_or(u64::MAX);
        assert!(
            group != 0 || seq < first,
            "order of submission within a priority"
        );
        self.replies.claims.push(*claim);
    }

    fn eligible(&self, now: Timestamp) -> impl Iterator<Item = &Record> {
        let config = config();
        let running = |r: &&Record| r.state.status == Status::Running;
        let is_large = move |r: &Record| r.group == 0 && r.spec.cost > config.large_cost;
        let large = self
            .scheduler
            .records()
            .filter(running)
            .filter(|r| is_large(r))
            .count();
        let mut busy = BTreeMap::<u64, u32>::new();
        for record in self.scheduler.records().filter(running) {
            *busy.entry(record.group).or_default() += 1;
        }
        self.scheduler.records().filter(move |r| {
            let limit = self
                .ledger
                .by_key(r.group)
                .map_or(u32::MAX, |b| b.options.max_concurrency);
            let group_full = r.group != 0 && busy.get(&r.group).is_some_and(|n| *n >= limit);
            r.state.status == Status::Queued
                && r.state.run_at <= now
                && !group_full
                && !(is_large(r) && large >= config.large_max)
        })
    }

    /// The invariants.
    pub(super) fn check(&mut self) {
        let mut tokens = BTreeSet::new();
        let mut running = BTreeMap::<u64, u32>::new();
        let mut counts = [[0u64; 2]; 3];
        let mut large = 0;
        for record in self.scheduler.records() {
            let state = &record.state;
            assert!(
                state.attempts <= record.max_attempts(),
                "too many attempts: {record:?}"
            );
            let mut durable = record.clone();
            if let Some(stored) = self.store.records.get(&record.seq) {
                // Progress alone is not written down.
                durable.state.progress = stored.state.progress;
            }
            let stored = self.store.records.get(&record.seq);
            assert_eq!(stored, Some(&durable), "store and machine differ");
            let counts = &mut counts[record.id.kind.index()];
            counts[0] += u64::from(state.status == Status::Queued);
            if state.status == Status::Running {
                counts[1] += 1;
                assert!(
                    tokens.insert(state.token),
                    "two jobs with token {}",
                    state.token
                );
                assert!(!self.dead_tokens.contains(&state.token), "dead token lives");
                *running.entry(record.group).or_default() += 1;
                large += usize::from(record.group == 0 && record.spec.cost > 100);
            }
        }
        for kind in Kind::ALL {
            let metrics = self.scheduler.metrics(kind);
            assert_eq!(
                [metrics.queued, metrics.active],
                counts[kind.index()],
                "{kind:?}"
            );
        }
        assert_eq!(self.store.records.len(), self.scheduler.records().count());
        assert!(large <= 2, "large work on every worker");
        let live = self.scheduler.records().filter(|r| !r.state.status.ended());
        let bytes: u64 = live.map(|r| r.spec.payload_bytes).sum();
        assert_eq!(self.scheduler.live_bytes, bytes, "bytes of live payloads");
        self.check_timers();
        self.check_books(&running);
        self.check_acknowledged();
    }

    /// Every chunk is counted once, and no batch runs more than it may.
    fn check_books(&self, running: &BTreeMap<u64, u32>) {
        for book in self.ledger.books() {
            let complete = book.status == Status::Completed;
            assert!(
                !complete || self.sealed.contains(&book.id),
                "complete but never sealed"
            );
            let busy = running.get(&book.key).copied().unwrap_or(0);
            assert!(
                busy <= book.options.max_concurrency,
                "batch over its concurrency"
            );
            let live = self
                .scheduler
                .records()
                .filter(|r| r.group == book.key)
                .count() as u32;
            assert_eq!(
                book.ended_chunks() + live,
                book.total_chunks,
                "chunk lost: {book:?}"
            );
            assert!(
                live == 0 || !book.status.ended(),
                "a chunk outlives its batch"
            );
        }
    }

    /// What waits stands in line or has a timer, what runs has the timer of its end.
    fn check_timers(&self) {
        for job in self.scheduler.slots.iter().flatten() {
            let timer = match job.record.state.status {
                Status::Queued if job.ready => None,
                Status::Queued => Some(job.record.state.run_at),
                Status::Running => Some(job.lease_until.min(job.deadline)),
                Status::Completed | Status::Failed | Status::Cancelled => None,
            };
            assert_eq!(job.timer, timer, "{:?}", job.record);
        }
    }

    /// Nothing acknowledged is lost: it is in the machine, or it is a chunk that its book counts.
    fn check_acknowledged(&mut self) {
        let (scheduler, completed, swept) = (&self.scheduler, &self.completed, &self.swept);
        self.pending.retain(|id| match scheduler.get(*id) {
            Ok(record) => {
                let undone = completed.contains(id) && record.state.status != Status::Completed;
                assert!(!undone, "{id} was completed and is {}", record.state.status);
                true
            }
            Err(_) => {
                let allowed = id.kind == Kind::Chunk || swept.contains(id);
                assert!(allowed, "{id} was acknowledged and is lost");
                false
            }
        });
    }
}

fn panic_lost(id: JobId) -> ! {
    // A claim names a record of this very machine.
    unreachable!("{id} was claimed and is not there")
}
