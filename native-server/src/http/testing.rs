//! Load and memory tests.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{StatusCode, header};
use serde::Serialize;
use sommos_core::{
    control::{Control, Stopped},
    jobs::{JobId, Status},
    wire::{
        ApiError, ErrorCode, envelope,
        jobs::{WorkKind, encode_submit_answer, result_expired},
        tasks::result_json,
        testing::{LoadTestRequest, MemoryTestRequest, decode_wait},
    },
};
use tokio::sync::{broadcast::error::RecvError, oneshot};

use super::{
    Call,
    body::cpu,
    header_text,
    jobs::{check_open, refused as queue_refused},
    reply::Reply,
};
use crate::{
    allocator,
    app::App,
    loadtest::{self, LoadPlan, NotStarted},
    memtest,
    queue::{Event, What},
};

/// One request of a load test may take so long.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A job that was awaited is looked at so often, even without an event of it.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn load(call: Call) -> Result<Reply, ApiError> {
    check_open(&call.app)?;
    let waits = decode_wait(call.query())?;
    let authorization = header_text(&call.request, header::AUTHORIZATION).map(str::to_owned);
    let (app, held) = call.body().await?;
    let plan = plan(&app, &held.bytes, authorization).await?;
    drop(held);
    if waits {
        return awaited(app, plan).await;
    }
    let submitted = app.load_tests.submit(&app.queue, plan).await;
    let id = submitted.map_err(not_started)?;
    let answer = encode_submit_answer(WorkKind::Job, id, Status::Queued, false)?;
    Ok(Reply::json(answer).status(StatusCode::ACCEPTED))
}

/// What a body asks for. A caller's token goes to this server and to no other.
async fn plan(app: &App, body: &[u8], authorization: Option<String>) -> Result<LoadPlan, ApiError> {
    let test = LoadTestRequest::decode(body, &app.load_test_origins, &app.limits)?;
    let own = test.target.origin.is_none();
    let target: SocketAddr = match &test.target.origin {
        Some(origin) => loadtest::resolve(origin)
            .await
            .map_err(|error| loadtest::refused(&error))?,
        None => own_address(app)?,
    };
    let plan = LoadPlan {
        target,
        origin: test.target.origin,
        requests: test.requests,
        concurrency: test.concurrency,
        method: test.method.to_owned(),
        path: test.target.path,
        authorization: authorization.filter(|_| own),
        body: test.body.map(Bytes::from),
        rate: test.rate,
        duration: test.duration_ms.map(Duration::from_millis),
        timeout: TIMEOUT,
    };
    plan.check().map_err(|error| loadtest::refused(&error))?;
    Ok(plan)
}

/// Where this server is reached from itself.
fn own_address(app: &App) -> Result<SocketAddr, ApiError> {
    let mut address = *app.address.get().ok_or_else(|| {
        let what = "the server does not listen on an address yet";
        ApiError::new(ErrorCode::Unavailable, what)
    })?;
    match address.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(v6) if v6.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address)
}

/// Runs a test and answers its result. When the caller goes away, this is dropped, and the task
/// that follows the job notices and cancels it.
async fn awaited(app: Arc<App>, plan: LoadPlan) -> Result<Reply, ApiError> {
    let (mut sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        // Before the submission, so that no event is missed.
        let mut events = app.queue.events(None);
        let id = match app.load_tests.submit(&app.queue, plan).await {
            Ok(id) => id,
            // An answer that nobody waits for any more is none.
            Err(error) => return drop(sender.send(Err(not_started(error)))),
        };
        let outcome = tokio::select! {
            () = sender.closed() => {
                // Refused if it has ended meanwhile.
                let _ = app.queue.cancel(id).await;
                return;
            }
            outcome = outcome(&app, id, &mut events.live) => outcome,
        };
        let _ = sender.send(outcome);
    });
    let json = receiver
        .await
        .map_err(|_| ApiError::new(ErrorCode::Unavailable, "shutting down"))??;
    Ok(Reply::json(envelope::raw_data(&json)))
}

/// The result of a job, JSON, once it has ended.
async fn outcome(
    app: &App,
    id: JobId,
    events: &mut tokio::sync::broadcast::Receiver<Arc<Event>>,
) -> Result<Vec<u8>, ApiError> {
    loop {
        let state = app
            .queue
            .job(id)
            .await
            .map_err(|e| queue_refused(&e))?
            .record
            .state;
        match state.status {
            Status::Queued | Status::Running => {}
            Status::Completed => {
                let stored = app.queue.result(id).await.map_err(|e| queue_refused(&e))?;
                let stored = stored.ok_or_else(result_expired)?;
                return result_json(&stored, &app.limits).map(std::borrow::Cow::into_owned);
            }
            Status::Cancelled => {
                return Err(ApiError::new(
                    ErrorCode::Cancelled,
                    "the load test was cancelled",
                ));
            }
            Status::Failed => {
                let code = state.code.as_deref().and_then(ErrorCode::from_word);
                let message = state.error.as_deref().unwrap_or_default().to_owned();
                let error = ApiError::new(code.unwrap_or(ErrorCode::Internal), message);
                return Err(match error.code {
                    ErrorCode::Forbidden => error.at("endpoint"),
                    _ => error,
                });
            }
        }
        // Whatever happens to it, or may have: then it is looked at again.
        let _ = tokio::time::timeout(LOOK, event_of(id, events)).await;
    }
}

async fn event_of(id: JobId, events: &mut tokio::sync::broadcast::Receiver<Arc<Event>>) {
    loop {
        match events.recv().await {
            Ok(event) if matches!(event.what, What::Job(of, _) if of == id) => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

fn not_started(error: NotStarted) -> ApiError {
    match error {
        NotStarted::Full(max) => ApiError::new(
            ErrorCode::RateLimited,
            format!(
                "{max} load test{} already: wait for it or cancel its job (--load-tests-max)",
                if max == 1 { " runs" } else { "s run" }
            ),
        ),
        NotStarted::Queue(error) => queue_refused(&error),
    }
}

/// Stops the test when its caller goes away.
#[derive(Default)]
struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct UntilGone(Arc<AtomicBool>);

impl Control for UntilGone {
    fn checkpoint(&self, _done: u64, _total: u64) -> Result<(), Stopped> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Stopped::Cancelled),
            false => Ok(()),
        }
    }
}

pub(super) async fn memory(call: Call) -> Result<Reply, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Timed<T> {
        #[serde(flatten)]
        report: T,
        duration_ms: f64,
    }
    let (app, held) = call.body().await?;
    let (iterations, data_size) = MemoryTestRequest::decode(&held.bytes, &app.limits)?;
    let _turn = app.memory_tests.try_acquire().map_err(|_| {
        let what = "a memory test runs already; two would measure each other";
        ApiError::new(ErrorCode::RateLimited, what)
    })?;
    let caller = Caller::default();
    let control = UntilGone(Arc::clone(&caller.0));
    let answer = cpu(&app, usize::MAX, move || {
        let started = Instant::now();
        let figures = || allocator::figures().map(|f| f.current_bytes);
        let report = memtest::run(iterations, data_size, &figures, &control)
            .map_err(|error| ApiError::invalid("dataSize", error))?;
        let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
        envelope::data(&Timed {
            report,
            duration_ms,
        })
    })
    .await?;
    Ok(Reply::json(answer))
}
