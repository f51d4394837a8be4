//! Real requests over real connections to this server: the load tester.
//!
//! Closed model: each connection sends as soon as it has its answer. Open model: requests are due
//! at a fixed rate whether or not answers come, and a latency counts from when the request was
//! due, not from when a connection was free to send it (coordinated omission corrected).

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;

/// Latencies are recorded up to an hour, with three significant digits.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Pause before a refused connection is tried again.
const RECONNECT: Duration = Duration::from_millis(10);

/// What to send.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Where to.
    pub target: SocketAddr,
    /// How many requests.
    pub requests: u64,
    /// Connections.
    pub concurrency: usize,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// `Authorization` header.
    pub authorization: Option<String>,
    /// JSON body.
    pub body: Option<Bytes>,
    /// Requests a second (open model).
    pub rate: Option<f64>,
    /// Longest time.
    pub duration: Option<Duration>,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

/// What came of it. Times are milliseconds; null where nothing was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadReport {
    /// Requests sent.
    pub total_requests: u64,
    /// Answered with a status below 400.
    pub successful_requests: u64,
    /// Answered with another status, or not at all.
    pub failed_requests: u64,
    /// Percent of the requests sent.
    pub success_rate: Option<f64>,
    /// Mean latency.
    pub average_response_time: Option<f64>,
    /// Longest latency.
    pub max_response_time: Option<f64>,
    /// Shortest latency.
    pub min_response_time: Option<f64>,
    /// From the first request to the last answer.
    pub total_time: f64,
    /// Answers a second.
    pub requests_per_second: Option<f64>,
    /// Latency below which half of the answers were.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    pub p999: Option<f64>,
    /// Requests a second that were due; null in the closed model.
    pub offered_rate: Option<f64>,
    /// Requests that were due and never sent.
    pub dropped: u64,
    /// Bytes of answers' bodies.
    pub bytes: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer, by kind: connect, timeout, closed, protocol.
    pub errors: BTreeMap<&'static str, u64>,
    /// Whether it was ended before its requests were sent.
    pub cancelled: bool,
}

/// Sends the plan's requests; `progress` is told how many of how many were sent.
pub async fn run(
    plan: LoadPlan,
    progress: impl Fn(u64, u64) + Send + Sync + 'static,
    cancel: &Arc<AtomicBool>,
) -> LoadReport {
    let started = Instant::now();
    let connections = plan.concurrency.max(1);
    let shared = Arc::new(Shared {
        deadline: plan.duration.map(|d| started + d),
        plan,
        started,
        next: AtomicU64::new(0),
        cancel: Arc::clone(cancel),
        progress: Box::new(progress),
    });
    let workers: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(Worker::new(Arc::clone(&shared)).run()))
        .collect();
    let mut total = Tally::new();
    for worker in workers {
        if let Ok(tally) = worker.await {
            total.add(&tally);
        }
    }
    report(&shared, &total, started.elapsed())
}

struct Shared {
    plan: LoadPlan,
    started: Instant,
    deadline: Option<Instant>,
    next: AtomicU64,
    cancel: Arc<AtomicBool>,
    progress: Box<dyn Fn(u64, u64) + Send + Sync>,
}

impl Shared {
    /// The next request's time, or `None` when there is none to send.
    fn take(&self) -> Option<Instant> {
        let over = self.deadline.is_some_and(|d| Instant::now() >= d);
        if over || self.cancel.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.plan.requests {
            return None;
        }
        (self.progress)(number, self.plan.requests);
        let Some(rate) = self.plan.rate else {
            return Some(Instant::now());
        };
        let due = self.started + Duration::from_secs_f64(number as f64 / rate);
        self.deadline.is_none_or(|d| due < d).then_some(due)
    }
}

/// What one connection saw.
struct Tally {
    latencies: Option<Histogram<u64>>,
    statuses: BTreeMap<u16, u64>,
    errors: BTreeMap<&'static str, u64>,
    bytes: u64,
}

impl Tally {
    fn new() -> Self {
        Self {
            latencies: Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).ok(),
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            bytes: 0,
        }
    }

    fn add(&mut self, other: &Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.latencies, &other.latencies) {
            // Both have the same bounds.
            let _ = mine.add(theirs);
        }
        other
            .statuses
            .iter()
            .for_each(|(k, n)| *self.statuses.entry(*k).or_default() += n);
        other
            .errors
            .iter()
            .for_each(|(k, n)| *self.errors.entry(k).or_default() += n);
        self.bytes += other.bytes;
    }

    fn answered(&mut self, status: u16, bytes: u64, latency: Duration) {
        *self.statuses.entry(status).or_default() += 1;
        self.bytes += bytes;
        if let Some(latencies) = &mut self.latencies {
            latencies.saturating_record(latency.as_micros().clamp(1, LATENCY_US_MAX.into()) as u64);
        }
    }

    fn failed(&mut self, kind: &'static str) {
        *self.errors.entry(kind).or_default() += 1;
    }
}

type Sender = http1::SendRequest<Full<Bytes>>;

struct Worker {
    shared: Arc<Shared>,
    sender: Option<Sender>,
    tally: Tally,
}

impl Worker {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            sender: None,
            tally: Tally::new(),
        }
    }

    async fn run(mut self) -> Tally {
        while let Some(due) = self.shared.take() {
            if self.shared.plan.rate.is_some() {
                tokio::time::sleep_until(due.into()).await;
            }
            let timeout = self.shared.plan.timeout;
            match tokio::time::timeout(timeout, self.send()).await {
                Ok(Ok((status, bytes))) => self.tally.answered(status, bytes, due.elapsed()),
                Ok(Err(kind)) => {
                    self.sender = None;
                    self.tally.failed(kind);
                    if kind == "connect" {
                        tokio::time::sleep(RECONNECT).await;
                    }
                }
                Err(_) => {
                    self.sender = None;
                    self.tally.failed("timeout");
                }
            }
        }
        self.tally
    }

    /// Sends one request and reads its whole answer: status and bytes of the body.
    async fn send(&mut self) -> Result<(u16, u64), &'static str> {
        let request = request(&self.shared.plan)?;
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => connect(self.shared.plan.target).await?,
        };
        sender.ready().await.map_err(kind)?;
        let response = sender.send_request(request).await.map_err(kind)?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame
                .map_err(kind)?
                .data_ref()
                .map_or(0, |data| data.len() as u64);
        }
        self.sender = Some(sender);
        Ok((status, bytes))
    }
}

fn kind(error: hyper::Error) -> &'static str {
    if error.is_closed() || error.is_incomplete_message() || error.is_canceled() {
        "closed"
    } else {
        "protocol"
    }
}

async fn connect(target: SocketAddr) -> Result<Sender, &'static str> {
    let stream = TcpStream::connect(target).await.map_err(|_| "connect")?;
    // Without it small requests would wait for acknowledgements that the test is not about.
    let _ = stream.set_nodelay(true);
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| "connect")?;
    // It ends with its sender; what went wrong is seen by the request.
    tokio::spawn(connection);
    Ok(sender)
}

fn request(plan: &LoadPlan) -> Result<Request<Full<Bytes>>, &'static str> {
    let mut builder = Request::builder()
        .method(plan.method.as_str())
        .uri(plan.path.as_str())
        .header(header::HOST, plan.target.to_string());
    if let Some(authorization) = &plan.authorization {
        builder = builder.header(header::AUTHORIZATION, authorization);
    }
    if plan.body.is_some() {
        builder = builder.header(header::CONTENT_TYPE, "application/json");
    }
    builder
        .body(Full::new(plan.body.clone().unwrap_or_default()))
        .map_err(|_| "protocol")
}

fn report(shared: &Shared, total: &Tally, elapsed: Duration) -> LoadReport {
    let answered: u64 = total.statuses.values().sum();
    let unanswered: u64 = total.errors.values().sum();
    let successful: u64 = total.statuses.range(..400).map(|(_, n)| n).sum();
    let sent = answered + unanswered;
    let seconds = elapsed.as_secs_f64();
    let latencies = total.latencies.as_ref().filter(|l| !l.is_empty());
    let ms = |us: u64| us as f64 / 1000.0;
    let quantile = |q| latencies.map(|l| ms(l.value_at_quantile(q)));
    let due = shared.plan.rate.map(|rate| {
        let over = shared
            .plan
            .duration
            .map_or(seconds, |d| d.as_secs_f64().min(seconds));
        ((over * rate) as u64).min(shared.plan.requests)
    });
    LoadReport {
        total_requests: sent,
        successful_requests: successful,
        failed_requests: sent - successful,
        success_rate: (sent > 0).then(|| successful as f64 / sent as f64 * 100.0),
        average_response_time: latencies.map(|l| l.mean() / 1000.0),
        max_response_time: latencies.map(|l| ms(l.max())),
        min_response_time: latencies.map(|l| ms(l.min())),
        total_time: seconds * 1000.0,
        requests_per_second: (seconds > 0.0 && answered > 0).then(|| answered as f64 / seconds),
        p50: quantile(0.5),
        p90: quantile(0.9),
        p95: quantile(0.95),
        p99: quantile(0.99),
        p999: quantile(0.999),
        offered_rate: shared.plan.rate,
        dropped: due.map_or(0, |due| due.saturating_sub(sent)),
        bytes: total.bytes,
        statuses: total.statuses.clone(),
        errors: total.errors.clone(),
        cancelled: shared.cancel.load(Ordering::Relaxed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, http::StatusCode, routing::get};

    async fn server() -> SocketAddr {
        let app = Router::new()
            .route("/ok", get(|| async { "hello" }))
            .route("/bad", get(|| async { StatusCode::IM_A_TEAPOT }))
            .route(
                "/slow",
                get(|| async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    "slow"
                }),
            );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, app).into_future());
        address
    }

    fn plan(target: SocketAddr, path: &str, requests: u64) -> LoadPlan {
        LoadPlan {
            target,
            requests,
            concurrency: 2,
            method: "GET".to_owned(),
            path: path.to_owned(),
            authorization: None,
            body: None,
            rate: None,
            duration: None,
            timeout: Duration::from_secs(5),
        }
    }

    #[tokio::test]
    async fn answers_are_counted_by_status() {
        let target = server().await;
        let cancel = Arc::default();
        let good = run(plan(target, "/ok", 20), |_, _| {}, &cancel).await;
        assert_eq!(
            (good.total_requests, good.successful_requests, good.bytes),
            (20, 20, 100)
        );
        let bad = run(plan(target, "/bad", 10), |_, _| {}, &cancel).await;
        assert_eq!((bad.failed_requests, bad.statuses[&418]), (10, 10));
        assert_eq!(bad.success_rate, Some(0.0));
    }

    #[tokio::test]
    async fn an_open_load_counts_the_wait_for_a_connection() {
        let target = server().await;
        let mut slow = plan(target, "/slow", 20);
        // 2 connections answer 40 a second; 200 a second are due: the queue grows.
        slow.rate = Some(200.0);
        let report = run(slow, |_, _| {}, &Arc::default()).await;
        assert!(report.max_response_time.unwrap() > 2.0 * report.min_response_time.unwrap());
        assert_eq!(report.total_requests, 20);
    }

    #[tokio::test]
    async fn nobody_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        drop(listener);
        let report = run(plan(target, "/", 4), |_, _| {}, &Arc::default()).await;
        assert_eq!((report.failed_requests, report.errors["connect"]), (4, 4));
        assert_eq!(report.p50, None);
    }

    #[tokio::test]
    async fn a_cancelled_test_ends() {
        let target = server().await;
        let cancel = Arc::new(AtomicBool::new(true));
        let report = run(plan(target, "/ok", 1_000_000), |_, _| {}, &cancel).await;
        assert_eq!((report.total_requests, report.cancelled), (0, true));
    }
}
