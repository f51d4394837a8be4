//! One worker a connection: takes the next request, waits until it is due, sends it, counts.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tokio::{sync::watch, time::Instant};

use super::{
    client::Client,
    plan::LoadPlan,
    report::{EndedBy, LoadReport},
    stats::Lanes,
};

/// The runtime's timers wake up to two of its milliseconds late. So much of a wait for the turn of
/// a request is the tester's own and not held against the server.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// A load test under way, shared by its workers.
pub(super) struct Run {
    request: Request<Full<Bytes>>,
    target: std::net::SocketAddr,
    timeout: Duration,
    requests: u64,
    /// Requests a second of the open model.
    rate: Option<f64>,
    start: Instant,
    /// No request begins from here on.
    end: Instant,
    /// Number of the next request.
    next: AtomicU64,
    sent: AtomicU64,
    over: AtomicU64,
    lanes: Lanes,
}

impl Run {
    pub(super) fn new(plan: &LoadPlan, request: Request<Full<Bytes>>) -> Self {
        let start = Instant::now();
        Self {
            request,
            target: plan.target,
            timeout: plan.timeout,
            requests: plan.requests,
            rate: plan.rate,
            start,
            end: start + plan.length(),
            next: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            over: AtomicU64::new(0),
            lanes: Lanes::new(plan.concurrency),
        }
    }

    /// Requests that are over.
    pub(super) fn over(&self) -> u64 {
        self.over.load(Relaxed)
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
        let stats = self.lanes.total();
        let total = stats.successful + stats.failed;
        let sent = self.sent.load(Relaxed);
        let seconds = (now - self.start).as_secs_f64();
        let per_second = |count: u64| (total > 0 && seconds > 0.0).then(|| count as f64 / seconds);
        let response = stats.response.summary();
        let end = cancelled.map_or(self.end, |at| at.min(self.end));
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
            dropped_requests: self.offered(end).saturating_sub(sent),
            abandoned_requests: sent - total.min(sent),
            offered_rate: plan.rate,
            achieved_rate: per_second(stats.statuses.values().sum()),
            response_times: response,
            service_times: stats.service.summary(),
            statuses: stats.statuses,
            errors: stats.errors,
            connections: stats.connections,
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
}

/// Works until no request is left or `stop` says so.
pub(super) async fn work(run: Arc<Run>, worker: usize, mut stop: watch::Receiver<bool>) {
    let mut client = Client::new(run.target, run.timeout);
    {
        let mut stopped = pin!(stop.wait_for(|stop| *stop));
        let mut requests = pin!(send_all(&run, worker, &mut client));
        tokio::select! {
            biased;
            _ = &mut stopped => {}
            () = &mut requests => {}
        }
    }
    run.lanes.connected(worker, client.opened);
}

async fn send_all(run: &Run, worker: usize, client: &mut Client) {
    while let Some(counted_from) = run.turn().await {
        run.sent.fetch_add(1, Relaxed);
        let sent = Instant::now();
        let outcome = client.send(run.request.clone()).await;
        let answered = Instant::now();
        run.lanes
            .record(worker, outcome, answered - counted_from, answered - sent);
        run.over.fetch_add(1, Relaxed);
        // A server in this process, or one that refuses at once, must not starve other tasks.
        tokio::task::coop::consume_budget().await;
    }
}
