//! How long work waits and runs, and how long commits take: counted from the queue's own events.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use sommos_core::{
    jobs::{Event, EventKind, Kind, Scheduler},
    metrics::Buckets,
};

/// Upper ends of the buckets, seconds: from a commit of a millisecond to a job of an hour.
pub(super) const BOUNDS_S: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 900.0, 3600.0,
];

/// Durations by buckets; any thread adds.
#[derive(Debug, Default)]
pub struct Durations {
    counts: [AtomicU64; BOUNDS_S.len() + 1],
    sum_us: AtomicU64,
}

impl Durations {
    /// Counts one.
    pub fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS_S.partition_point(|&end| end < seconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Relaxed);
    }

    /// A copy.
    #[must_use]
    pub fn buckets(&self) -> Buckets {
        Buckets {
            bounds: &BOUNDS_S,
            counts: self
                .counts
                .iter()
                .map(|count| count.load(Relaxed))
                .collect(),
            sum: self.sum_us.load(Relaxed) as f64 / 1e6,
        }
    }
}

/// Of jobs, tasks or chunks.
#[derive(Debug, Default)]
pub struct KindTimings {
    /// From when an attempt might begin until it did.
    pub wait: Durations,
    /// From when an attempt began until it ended by itself or by its time limit.
    pub run: Durations,
    /// Attempts that took too long.
    pub timed_out: AtomicU64,
    /// Work whose attempts ran out.
    pub dead: AtomicU64,
}

/// Everything that the queue times.
#[derive(Debug, Default)]
pub struct Timings {
    kinds: [KindTimings; Kind::ALL.len()],
    /// Transactions, from their begin until they are on the disk.
    pub commits: Durations,
    /// Transactions refused because another process held the database.
    pub busy: AtomicU64,
}

/// What an event tells of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timed {
    Waited(Kind, u64),
    Ran(Kind, u64),
    /// It ran so long, and was its work's last attempt.
    Died(Kind, u64),
    Overran(Kind),
}

impl Timed {
    /// Call it before the next claim: an attempt's times are those of its record.
    pub(super) fn of(event: &Event, scheduler: &Scheduler) -> Option<Self> {
        let kind = event.id.kind;
        let state = &scheduler.get(event.id).ok()?.state;
        let ran = || state.started_at.map(|began| event.at.ms_since(began));
        match &event.kind {
            EventKind::Started { .. } => Some(Self::Waited(kind, event.at.ms_since(state.run_at))),
            EventKind::Completed { run_ms, .. } => Some(Self::Ran(kind, *run_ms)),
            EventKind::Retry { .. } | EventKind::Failed { dead: false, .. } => {
                Some(Self::Ran(kind, ran()?))
            }
            EventKind::Failed { dead: true, .. } => Some(Self::Died(kind, ran()?)),
            EventKind::TimedOut { .. } => Some(Self::Overran(kind)),
            _ => None,
        }
    }
}

impl Timings {
    /// Of this kind of work.
    #[must_use]
    pub fn of(&self, kind: Kind) -> &KindTimings {
        let [job, task, chunk] = &self.kinds;
        match kind {
            Kind::Job => job,
            Kind::Task => task,
            Kind::Chunk => chunk,
        }
    }

    pub(super) fn record(&self, timed: Timed) {
        let ms = Duration::from_millis;
        match timed {
            Timed::Waited(kind, waited) => self.of(kind).wait.record(ms(waited)),
            Timed::Ran(kind, ran) => self.of(kind).run.record(ms(ran)),
            Timed::Died(kind, ran) => {
                self.of(kind).run.record(ms(ran));
                self.of(kind).dead.fetch_add(1, Relaxed);
            }
            Timed::Overran(kind) => {
                self.of(kind).timed_out.fetch_add(1, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_the_bucket_that_it_fits() {
        let durations = Durations::default();
        for ms in [0, 1, 2, 3_600_000, 3_600_001] {
            durations.record(Duration::from_millis(ms));
        }
        let buckets = durations.buckets();
        assert_eq!((buckets.counts[0], buckets.counts[1]), (2, 1));
        assert_eq!((buckets.counts[17], buckets.counts[18]), (1, 1));
        assert_eq!(buckets.count(), 5);
        assert!((buckets.sum - 7200.004).abs() < 1e-9, "{}", buckets.sum);
    }
}
