//! One worker a connection: takes the next request, waits until it is due, sends it, counts.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use sommos_core::wire::testing::{EndedBy, LoadProgress, LoadReport};
use tokio::time::Instant;

use super::{
    client::{Client, Failure, Wire},
    plan::{LoadError, LoadPlan},
    stats::Stats,
};

/// The runtime's timers wake up to two of its milliseconds late. So much of a wait for the turn of
/// a request is the tester's own and not held against the server.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// A load test under way, shared by its workers.
pub(super) struct Run {
    wire: Wire,
    requests: u64,
    /// Requests a second of the open model.
    rate: Option<f64>,
    start: Instant,
    /// No request begins from here on.
    end: Instant,
    /// Number of the next request.
    next: AtomicU64,
    sent: AtomicU64,
    /// Locked for as long as counting takes. All workers share a thread, where they can.
    stats: Mutex<Stats>,
    /// Where the first answer leads, if to another origin.
    led_away: OnceLock<String>,
}

impl Run {
    pub(super) fn new(plan: &LoadPlan) -> Result<Self, LoadError> {
        let request = plan.check()?;
        let start = Instant::now();
        Ok(Self {
            wire: Wire::new(plan.target, plan.named(), request, plan.timeout),
            requests: plan.requests,
            rate: plan.rate,
            start,
            end: start + plan.length(),
            next: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            stats: Mutex::new(Stats::new()),
            led_away: OnceLock::new(),
        })
    }

    fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the first answer leads, if to another origin: then the test is to be stopped.
    pub(super) fn led_away(&self) -> Option<&str> {
        self.led_away.get().map(String::as_str)
    }

    /// How far it is, and which part of it is over, 0..=1: of the requests or of the time.
    pub(super) fn progress(&self) -> (LoadProgress, f64) {
        let passed = self.start.elapsed();
        let mut stats = self.stats();
        stats.series.pass(passed);
        let (done, rate) = (stats.over(), stats.series.rate(passed));
        let (p99, failed) = (stats.response.at(0.99), stats.failed);
        drop(stats);
        let length = (self.end - self.start).as_secs_f64();
        let part = (done as f64 / self.requests as f64).max(passed.as_secs_f64() / length);
        let progress = LoadProgress::new(done, self.requests, rate, p99, failed);
        (progress, part.min(1.0))
    }

    /// When the request of this number is due; none: after the end.
    fn due(&self, number: u64, rate: f64) -> Option<Instant> {
        let after = Duration::try_from_secs_f64(number as f64 / rate).ok()?;
        self.start.checked_add(after).filter(|due| *due < self.end)
    }

    /// Takes the next request and waits for its turn. Answers the moment its response time counts
    /// from; none when no request is to be sent any more.
    async fn turn(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, Relaxed);
        if number >= self.requests {
            return None;
        }
        let now = Instant::now();
        let Some(rate) = self.rate else {
            return Some(now).filter(|now| *now < self.end);
        };
        let due = self.due(number, rate)?;
        if due <= now {
            return Some(due).filter(|_| now < self.end);
        }
        tokio::time::sleep_until(due).await;
        Some(Instant::now().min(due + TIMER_SLACK))
    }

    /// Requests that were due before `end`.
    fn offered(&self, end: Instant) -> u64 {
        let Some(rate) = self.rate else {
            return self.sent.load(Relaxed);
        };
        // The first request is due at once.
        let due = (end.saturating_duration_since(self.start).as_secs_f64() * rate).ceil() as u64;
        due.clamp(1, self.requests)
    }

    pub(super) fn report(
        &self,
        plan: &LoadPlan,
        cancelled: Option<Instant>,
        now: Instant,
    ) -> LoadReport {
        let mut stats = self.stats();
        let series = stats.series.finish(now - self.start);
        let total = stats.over();
        let sent = self.sent.load(Relaxed);
        let seconds = (now - self.start).as_secs_f64();
        let per_second = |count: u64| (total > 0 && seconds > 0.0).then(|| count as f64 / seconds);
        let response = stats.response.summary();
        let end = cancelled.map_or(self.end, |at| at.min(self.end));
        let dropped = self.offered(end).saturating_sub(sent);
        LoadReport {
            total_requests: total,
            successful_requests: stats.successful,
            failed_requests: stats.failed,
            success_rate: (total > 0).then(|| stats.successful as f64 / total as f64 * 100.0),
            average_response_time: response.map(|times| times.mean),
            max_response_time: response.map(|times| times.max),
            min_response_time: response.map(|times| times.min),
            total_time: seconds * 1e3,
            requests_per_second: per_second(total),
            planned_requests: plan.requests,
            offered_requests: sent + dropped,
            dropped_requests: dropped,
            abandoned_requests: sent - total.min(sent),
            offered_rate: plan.rate,
            achieved_rate: per_second(stats.statuses.values().sum()),
            response_times: response,
            service_times: stats.service.summary(),
            latency_curve: stats.response.curve(),
            series,
            statuses: std::mem::take(&mut stats.statuses),
            errors: stats.errors,
            reasons: std::mem::take(&mut stats.reasons),
            connections: self.wire.opened(),
            bytes_sent: (sent - stats.errors.connect.min(sent))
                * plan.body.as_ref().map_or(0, |body| body.len() as u64),
            bytes_received: stats.bytes_received,
            ended_by: match cancelled {
                Some(_) => EndedBy::Cancel,
                None if total == plan.requests => EndedBy::Requests,
                None => EndedBy::Duration,
            },
        }
    }

    fn record(
        &self,
        outcome: &Result<super::client::Answer, Failure>,
        now: Instant,
        counted_from: Instant,
        sent: Instant,
    ) {
        let mut stats = self.stats();
        if stats.over() == 0
            && let Err(Failure::Redirect(to)) = outcome
        {
            // Only the first answer gets here.
            let _ = self.led_away.set(to.to_string());
        }
        stats.record(now - self.start, outcome, now - counted_from, now - sent);
    }
}

/// Works until no request is left.
pub(super) async fn work(run: Arc<Run>) {
    let mut client = Client::new(&run.wire);
    while let Some(counted_from) = run.turn().await {
        run.sent.fetch_add(1, Relaxed);
        let sent = Instant::now();
        let outcome = client.send(sent).await;
        run.record(&outcome, Instant::now(), counted_from, sent);
        // A server in this process, or one that refuses at once, must not starve other tasks.
        tokio::task::coop::consume_budget().await;
    }
}
