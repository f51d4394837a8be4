//! Counters in SommOS's shape.

use std::collections::VecDeque;

/// Processing times that are kept.
const TIMES: usize = 100;

/// What SommOS reports of its queue, per kind of work. Counts are since the start, with those of
/// restored records.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metrics {
    /// Ever submitted.
    pub total: u64,
    /// Ended well.
    pub completed: u64,
    /// Failed for good.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Attempts that failed and were followed by another.
    pub retried: u64,
    /// Running now.
    pub active: u64,
    /// Waiting now, for a worker, a delay or an attempt.
    pub queued: u64,
    /// Mean run of the attempts that completed, milliseconds.
    pub average_ms: f64,
    /// The last 100 runs that completed, milliseconds, oldest first.
    pub times_ms: Vec<u64>,
}

/// The counters behind [`Metrics`].
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    pub(super) total: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
    pub(super) retried: u64,
    pub(super) active: u64,
    pub(super) queued: u64,
    timed: u64,
    sum_ms: u64,
    times: VecDeque<u64>,
}

impl Counters {
    pub(super) fn ran(&mut self, ms: u64) {
        self.timed += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
        if self.times.len() == TIMES {
            self.times.pop_front();
        }
        self.times.push_back(ms);
    }

    pub(super) fn view(&self) -> Metrics {
        Metrics {
            total: self.total,
            completed: self.completed,
            failed: self.failed,
            cancelled: self.cancelled,
            retried: self.retried,
            active: self.active,
            queued: self.queued,
            average_ms: self.sum_ms as f64 / self.timed.max(1) as f64,
            times_ms: self.times.iter().copied().collect(),
        }
    }
}
