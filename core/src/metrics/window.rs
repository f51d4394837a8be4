//! Rolling windows: the counters now minus a copy of them as old as the window.

use std::{collections::VecDeque, sync::Arc};

use serde::Serialize;

use super::{Histogram, histogram::BUCKETS, percent, rounded};
use crate::time::Timestamp;

/// Copies a window: 60 steps, and one at either end.
pub(super) const COPIES: usize = 62;
/// Length and step of each window, milliseconds: one minute, five minutes, one hour.
const SPANS_MS: [(u64, u64); 3] = [(60_000, 1_000), (300_000, 5_000), (3_600_000, 60_000)];
/// A clock set back by more than this restarts the windows.
const SETBACK_MS: u64 = 60_000;

const _: () = {
    let mut i = 0;
    while i < SPANS_MS.len() {
        assert!(SPANS_MS[i].0 / SPANS_MS[i].1 + 2 == COPIES as u64);
        i += 1;
    }
};

/// The cumulative counters at one time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Snapshot {
    pub(super) at: Timestamp,
    pub(super) responses: u64,
    pub(super) errors: u64,
    pub(super) sum_us: u64,
    pub(super) queries: u64,
    pub(super) slow_queries: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    /// Low halves of the histogram's counts.
    pub(super) durations: Box<[u32]>,
}

/// What happened in one rolling window.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WindowStats {
    /// Time that the figures cover, milliseconds: the window's length, less after the start, more
    /// after a pause of the shell.
    pub span_ms: u64,
    /// Responses.
    pub responses: u64,
    /// Errors: responses of 500 and above, and recorded errors that belong to no response.
    pub errors: u64,
    /// `errors` of `responses`, percent, at most 100.
    pub error_rate: f64,
    /// Responses a second.
    pub throughput: f64,
    /// Mean response time, milliseconds; null without responses.
    pub response_time: Option<f64>,
    /// Median, milliseconds.
    pub p50_ms: Option<f64>,
    /// 95th percentile, milliseconds.
    pub p95_ms: Option<f64>,
    /// 99th percentile, milliseconds.
    pub p99_ms: Option<f64>,
    /// Database queries.
    pub queries: u64,
    /// Slow database queries.
    pub slow_queries: u64,
    /// Cache hits.
    pub cache_hits: u64,
    /// Cache misses.
    pub cache_misses: u64,
}

/// The three rolling windows.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Windows {
    /// The last minute, in steps of a second.
    #[serde(rename = "1m")]
    pub minute: WindowStats,
    /// The last five minutes, in steps of five seconds.
    #[serde(rename = "5m")]
    pub five_minutes: WindowStats,
    /// The last hour, in steps of a minute.
    #[serde(rename = "1h")]
    pub hour: WindowStats,
}

/// What was counted in one window: what windows of several instances are added up from.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct WindowCounts {
    pub(super) span_ms: u64,
    pub(super) per_second: f64,
    pub(super) responses: u64,
    pub(super) errors: u64,
    pub(super) sum_us: u64,
    pub(super) queries: u64,
    pub(super) slow_queries: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) durations: Histogram,
}

impl WindowCounts {
    /// Adds the same window of another instance. The rates are added, for each has its own span;
    /// the longest span is shown.
    pub(super) fn merge(&mut self, other: &Self) {
        self.span_ms = self.span_ms.max(other.span_ms);
        self.per_second += other.per_second;
        for (sum, more) in [
            (&mut self.responses, other.responses),
            (&mut self.errors, other.errors),
            (&mut self.sum_us, other.sum_us),
            (&mut self.queries, other.queries),
            (&mut self.slow_queries, other.slow_queries),
            (&mut self.hits, other.hits),
            (&mut self.misses, other.misses),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.durations.merge(&other.durations);
    }

    pub(super) fn stats(&self) -> WindowStats {
        let counted = self.durations.count();
        let ms = |q| self.durations.quantile(q).map(|us| rounded(us / 1000.0, 3));
        let mean = || rounded(self.sum_us as f64 / counted as f64 / 1000.0, 3);
        WindowStats {
            span_ms: self.span_ms,
            responses: self.responses,
            errors: self.errors,
            error_rate: percent(self.errors as f64, self.responses as f64).min(100.0),
            throughput: rounded(self.per_second, 3),
            response_time: (counted > 0).then(mean),
            p50_ms: ms(0.5),
            p95_ms: ms(0.95),
            p99_ms: ms(0.99),
            queries: self.queries,
            slow_queries: self.slow_queries,
            cache_hits: self.hits,
            cache_misses: self.misses,
        }
    }
}

/// The copies behind the windows: at most 186 of 3.6 KiB.
#[derive(Debug)]
pub(super) struct Rolling {
    pub(super) rings: [VecDeque<Arc<Snapshot>>; 3],
}

impl Rolling {
    pub(super) const BYTES_MAX: usize = SPANS_MS.len()
        * COPIES
        * (BUCKETS * size_of::<u32>() + size_of::<Snapshot>() + 4 * size_of::<usize>());

    pub(super) fn new(first: Snapshot) -> Self {
        let mut rolling = Self {
            rings: core::array::from_fn(|_| VecDeque::with_capacity(COPIES)),
        };
        rolling.restart(first);
        rolling
    }

    fn restart(&mut self, first: Snapshot) {
        let first = Arc::new(first);
        for ring in &mut self.rings {
            ring.clear();
            ring.push_back(Arc::clone(&first));
        }
    }

    /// Whether the clock stands so far before the last copy that the windows begin anew.
    pub(super) fn set_back(&self, now: Timestamp) -> bool {
        let last = self.rings[0].back();
        last.is_some_and(|last| last.at.ms_since(now) > SETBACK_MS)
    }

    /// Keeps a copy for each window whose step has passed.
    pub(super) fn push(&mut self, copy: Snapshot) {
        let last = self.rings[0].back().map_or(copy.at, |last| last.at);
        if copy.at < last {
            if self.set_back(copy.at) {
                self.restart(copy);
            }
            return;
        }
        let copy = Arc::new(copy);
        for (ring, (_, step_ms)) in self.rings.iter_mut().zip(SPANS_MS) {
            let slot = |at: Timestamp| at.0 / step_ms;
            if ring
                .back()
                .is_some_and(|last| slot(last.at) == slot(copy.at))
            {
                continue;
            }
            if ring.len() == COPIES {
                ring.pop_front();
            }
            ring.push_back(Arc::clone(&copy));
        }
    }

    /// The windows that end with `live`.
    pub(super) fn windows(&self, live: &Snapshot) -> Windows {
        let [minute, five_minutes, hour] = core::array::from_fn(|i| self.window(i, live).stats());
        Windows {
            minute,
            five_minutes,
            hour,
        }
    }

    /// The last minute alone.
    pub(super) fn minute(&self, live: &Snapshot) -> WindowStats {
        self.window(0, live).stats()
    }

    /// What was counted in each window, for adding up.
    pub(super) fn counts(&self, live: &Snapshot) -> [WindowCounts; 3] {
        core::array::from_fn(|i| self.window(i, live))
    }

    fn window(&self, index: usize, live: &Snapshot) -> WindowCounts {
        let (ring, (span_ms, _)) = (&self.rings[index], SPANS_MS[index]);
        // The youngest copy that is at least as old as the window, or the oldest there is.
        let young = |copy: &Arc<Snapshot>| live.at.ms_since(copy.at) >= span_ms;
        let base = ring.partition_point(young).saturating_sub(1);
        ring.get(base)
            .map_or_else(WindowCounts::default, |base| difference(base, live))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let one = size_of::<Snapshot>() + BUCKETS * size_of::<u32>() + 2 * size_of::<usize>();
        let of = |ring: &VecDeque<Arc<Snapshot>>| {
            ring.capacity() * size_of::<usize>() + ring.len() * one
        };
        self.rings.iter().map(of).sum()
    }
}

fn difference(base: &Snapshot, live: &Snapshot) -> WindowCounts {
    let span_ms = live.at.ms_since(base.at);
    let responses = live.responses.saturating_sub(base.responses);
    let mut durations = Histogram::default();
    let pairs = live.durations.iter().zip(base.durations.iter());
    for (count, (now, then)) in durations.counts.iter_mut().zip(pairs) {
        *count = u64::from(now.wrapping_sub(*then));
    }
    WindowCounts {
        span_ms,
        // Less than a second is taken for one, or the first request would be a thousand a second.
        per_second: responses as f64 * 1000.0 / span_ms.max(1000) as f64,
        responses,
        errors: live.errors.saturating_sub(base.errors),
        sum_us: live.sum_us.saturating_sub(base.sum_us),
        queries: live.queries.saturating_sub(base.queries),
        slow_queries: live.slow_queries.saturating_sub(base.slow_queries),
        hits: live.hits.saturating_sub(base.hits),
        misses: live.misses.saturating_sub(base.misses),
        durations,
    }
}
