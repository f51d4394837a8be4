use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use sommos_core::wire::testing::{EndedBy, LoadErrors, LoadProgress, LoadReport};

use super::{LoadError, LoadPlan};

mod outcomes;

/// Long enough that it never passes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
const STALL: Duration = Duration::from_millis(300);

/// A server that answers by path: /ok, /fail (500), /alternate (200, 404 in turn), /echo (the
/// Authorization header and the body), /stall (the first request takes [`STALL`]), /hang (never).
async fn server(keep_alive: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let count = Arc::clone(&count);
            let service = service_fn(move |request| answer(request, Arc::clone(&count)));
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .keep_alive(keep_alive)
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

async fn answer(
    request: Request<Incoming>,
    count: Arc<AtomicU64>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let number = count.fetch_add(1, Ordering::Relaxed);
    let (status, body) = match request.uri().path() {
        "/fail" => (500, "no".to_owned()),
        "/alternate" if number % 2 == 1 => (404, String::new()),
        "/echo" => {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let token = parts.headers["authorization"].to_str().unwrap();
            let status = if parts.method == "PUT" { 201 } else { 405 };
            (status, format!("{token}{}", String::from_utf8_lossy(&body)))
        }
        "/stall" => {
            if number == 0 {
                tokio::time::sleep(STALL).await;
            }
            (200, String::new())
        }
        "/hang" => std::future::pending().await,
        _ => (200, "fine".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status.try_into().unwrap();
    Ok(response)
}

fn plan(target: SocketAddr, path: &str, requests: u64, concurrency: usize) -> LoadPlan {
    LoadPlan {
        target,
        origin: None,
        requests,
        concurrency,
        method: "GET".to_owned(),
        path: path.to_owned(),
        authorization: None,
        body: None,
        rate: None,
        duration: None,
        timeout: PATIENCE,
    }
}

async fn run(plan: LoadPlan) -> LoadReport {
    super::run(plan, |_, _| {}, || false).await.unwrap()
}

#[tokio::test]
async fn every_request_is_sent_once_on_connections_that_stay() {
    let target = server(true).await;
    let mut last = (0, 0.0);
    let progress = |told: LoadProgress, part: f64| {
        assert_eq!(told.total, 500);
        assert!(last.0 <= told.done && last.1 <= part && part <= 1.0);
        last = (told.done, part);
    };
    let plan = plan(target, "/ok", 500, 7);
    let report = super::run(plan, progress, || false).await.unwrap();
    assert_eq!(last, (500, 1.0));
    assert_eq!(
        (report.total_requests, report.successful_requests),
        (500, 500)
    );
    assert_eq!(
        (report.failed_requests, report.success_rate),
        (0, Some(100.0))
    );
    assert_eq!(report.statuses, [(200, 500)].into());
    assert_eq!((report.dropped_requests, report.abandoned_requests), (0, 0));
    assert_eq!((report.connections, report.bytes_received), (7, 2000));
    assert_eq!(
        (report.ended_by, report.offered_rate),
        (EndedBy::Requests, None)
    );
    let times = report.response_times.unwrap();
    let order = [
        0.0, times.min, times.p50, times.p90, times.p95, times.p99, times.p999, times.max,
    ];
    assert!(order.is_sorted() && order[1] > 0.0, "{times:?}");
    assert!(
        times.min <= times.mean && times.mean <= times.max,
        "{times:?}"
    );
}

#[tokio::test]
async fn statuses_from_400_are_failures() {
    let report = run(plan(server(true).await, "/alternate", 100, 3)).await;
    assert_eq!(
        (report.successful_requests, report.failed_requests),
        (50, 50)
    );
    assert_eq!(report.success_rate, Some(50.0));
    assert_eq!(report.statuses, [(200, 50), (404, 50)].into());
    assert_eq!(report.errors, LoadErrors::default());
    let report = run(plan(server(true).await, "/fail", 10, 3)).await;
    assert_eq!(
        (report.success_rate, report.bytes_received),
        (Some(0.0), 20)
    );
}

#[tokio::test]
async fn method_body_and_authorization_arrive() {
    let mut plan = plan(server(true).await, "/echo", 20, 2);
    plan.method = "PUT".to_owned();
    plan.body = Some(Bytes::from_static(b"{\"a\":1}"));
    plan.authorization = Some("Bearer abc".to_owned());
    let report = run(plan).await;
    assert_eq!(report.statuses, [(201, 20)].into());
    assert_eq!(
        (report.bytes_sent, report.bytes_received),
        (20 * 7, 20 * 17)
    );
}

#[tokio::test]
async fn a_connection_that_the_server_closes_is_opened_anew() {
    let report = run(plan(server(false).await, "/ok", 40, 2)).await;
    assert_eq!(report.successful_requests, 40, "{report:?}");
    assert_eq!(report.connections, 40);
}

/// One stall of 300 ms while a request is due every 5 ms on one connection: some 60 requests wait.
#[tokio::test]
async fn a_stall_shows_in_the_times_of_all_requests_that_were_due() {
    let mut plan = plan(server(true).await, "/stall", 100, 1);
    plan.rate = Some(200.0);
    let report = run(plan).await;
    assert_eq!(
        (report.successful_requests, report.dropped_requests),
        (100, 0)
    );
    assert_eq!(report.offered_rate, Some(200.0));
    let corrected = report.response_times.unwrap();
    let stall_ms = STALL.as_secs_f64() * 1e3;
    assert!(corrected.max >= stall_ms * 0.99, "{corrected:?}");
    // Request 20 was due at 100 ms, so it waited 200 ms at least; with the 19 before it that is a
    // fifth of all. A slow machine only makes times longer.
    assert!(corrected.p90 >= 190.0, "{corrected:?}");
    let service = report.service_times.unwrap();
    assert!(corrected.mean > service.mean, "{corrected:?} {service:?}");
}

#[tokio::test]
async fn requests_that_find_no_connection_by_the_end_are_dropped() {
    let mut plan = plan(server(true).await, "/stall", 1_000_000, 1);
    plan.rate = Some(1000.0);
    plan.duration = Some(Duration::from_millis(200));
    let report = run(plan).await;
    // The only connection is stalled beyond the end; on a slow machine even the first is too late.
    assert_eq!(
        report.total_requests + report.dropped_requests,
        200,
        "{report:?}"
    );
    assert!(report.total_requests <= 1, "{report:?}");
    assert_eq!(report.ended_by, EndedBy::Duration);
}

#[tokio::test]
async fn a_refused_connection_is_counted_and_has_no_times() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    drop(listener);
    let report = run(plan(target, "/ok", 25, 4)).await;
    assert_eq!((report.failed_requests, report.errors.connect), (25, 25));
    assert_eq!((report.connections, report.bytes_sent), (0, 0));
    let json = serde_json::to_value(&report).unwrap();
    for field in [
        "averageResponseTime",
        "minResponseTime",
        "maxResponseTime",
        "responseTimes",
    ] {
        assert!(json[field].is_null(), "{field}: {json}");
    }
    assert_eq!(json["successRate"], 0.0);
    assert_eq!(json["totalRequests"], 25);
    assert!(json["totalTime"].is_number() && json["requestsPerSecond"].is_number());
}

#[tokio::test]
async fn a_request_without_an_answer_times_out() {
    let mut plan = plan(server(true).await, "/hang", 2, 1);
    plan.timeout = Duration::from_millis(500);
    let report = run(plan).await;
    assert_eq!((report.errors.timeout, report.failed_requests), (2, 2));
    assert_eq!(report.connections, 2, "the first was closed");
    assert!(report.min_response_time.unwrap() >= 500.0);
    assert!(report.statuses.is_empty());
}

#[tokio::test]
async fn answers_that_break_off_or_are_not_http_are_told_apart() {
    for (bytes, expected) in [
        (
            &b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"[..],
            LoadErrors {
                closed: 6,
                ..LoadErrors::default()
            },
        ),
        (
            b"",
            LoadErrors {
                closed: 6,
                ..LoadErrors::default()
            },
        ),
        (
            b"220 mail ready\r\n\r\n",
            LoadErrors {
                protocol: 6,
                ..LoadErrors::default()
            },
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(bytes).await;
            }
        });
        let report = run(plan(target, "/", 6, 2)).await;
        assert_eq!(report.errors, expected, "{bytes:?}");
        assert_eq!(report.failed_requests, 6);
    }
}

#[tokio::test]
async fn cancel_ends_it_and_tells_what_was_in_flight() {
    let target = server(true).await;
    for rate in [None, Some(100.0)] {
        let mut plan = plan(target, "/hang", 1000, 5);
        plan.rate = rate;
        let cancel = AtomicBool::new(false);
        let test = super::run(plan, |_, _| {}, || cancel.load(Ordering::Relaxed));
        let cancelling = async {
            tokio::time::sleep(Duration::from_millis(120)).await;
            cancel.store(true, Ordering::Relaxed);
        };
        let (report, ()) = tokio::join!(test, cancelling);
        let report = report.unwrap();
        assert_eq!(report.ended_by, EndedBy::Cancel);
        assert_eq!(report.total_requests, 0);
        assert!((1..=5).contains(&report.abandoned_requests), "{report:?}");
        assert_eq!(
            (report.success_rate, report.requests_per_second),
            (None, None)
        );
    }
}

#[tokio::test]
async fn plans_that_cannot_be_carried_out_are_refused() {
    let target = server(true).await;
    let good = plan(target, "/ok", 1, 1);
    let range = |change: &dyn Fn(&mut LoadPlan)| {
        let mut plan = good.clone();
        change(&mut plan);
        plan.check().unwrap_err()
    };
    let fields = [
        (range(&|plan| plan.requests = 0), "requests"),
        (range(&|plan| plan.concurrency = 0), "concurrency"),
        (range(&|plan| plan.rate = Some(0.0)), "rate"),
        (range(&|plan| plan.rate = Some(f64::NAN)), "rate"),
        (
            range(&|plan| plan.duration = Some(Duration::ZERO)),
            "duration",
        ),
        (
            range(&|plan| plan.timeout = Duration::from_secs(601)),
            "timeout",
        ),
        (range(&|plan| plan.method = "GE T".to_owned()), "method"),
        (range(&|plan| plan.path = "ok".to_owned()), "path"),
        (range(&|plan| plan.path = "/ ok".to_owned()), "path"),
        (
            range(&|plan| plan.authorization = Some("a\r\nb: c".to_owned())),
            "authorization",
        ),
    ];
    for (error, expected) in fields {
        let (LoadError::Range { field, .. } | LoadError::Request { field, .. }) = &error else {
            panic!("{error}")
        };
        assert_eq!(*field, expected, "{error}");
    }
}
