//! Load and memory tests.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::header;
use serde::Serialize;
use sommos_core::{
    control::Unstoppable,
    wire::{
        ApiError, ErrorCode, envelope,
        testing::{LoadTestRequest, MemoryTestRequest},
    },
};

use super::{Call, body::cpu, header_text, reply::Reply};
use crate::{
    allocator,
    loadtest::{self, LoadError},
    memtest,
};

/// One request of a load test may take so long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Stops the test when its caller goes away.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

pub(super) async fn load(call: Call) -> Result<Reply, ApiError> {
    let authorization = header_text(&call.request, header::AUTHORIZATION).map(str::to_owned);
    let (app, held) = call.body().await?;
    let test = LoadTestRequest::decode(&held.bytes, &app.limits)?;
    let target: SocketAddr = *app.address.get().ok_or_else(|| {
        ApiError::new(
            ErrorCode::Unavailable,
            "the server does not listen on an address yet",
        )
    })?;
    let cancel = Arc::new(AtomicBool::new(false));
    let _guard = StopOnDrop(Arc::clone(&cancel));
    let plan = loadtest::LoadPlan {
        target,
        requests: test.requests,
        concurrency: test.concurrency,
        method: test.method.to_owned(),
        path: test.endpoint,
        authorization,
        body: test.body.map(Bytes::from),
        rate: test.rate,
        duration: test.duration_ms.map(Duration::from_millis),
        timeout: TIMEOUT,
    };
    let report = loadtest::run(plan, |_, _| {}, &cancel)
        .await
        .map_err(refused)?;
    Ok(Reply::json(envelope::data(&report)?))
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
    let answer = cpu(&app, usize::MAX, move || {
        let started = Instant::now();
        let figures = || allocator::figures().map(|f| f.current_bytes);
        let report = memtest::run(iterations, data_size, &figures, &Unstoppable)
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

fn refused(error: LoadError) -> ApiError {
    match &error {
        LoadError::Range { field, .. } | LoadError::Request { field, .. } => {
            ApiError::invalid(field, &error)
        }
    }
}
