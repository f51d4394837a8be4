//! HTTP: finds the route in core's list, checks who asks, calls the handler, encodes the answer.

mod batches;
mod body;
mod cache;
mod dashboard;
mod docs;
mod events;
mod exchange;
mod health;
mod jobs;
mod memory;
mod monitoring;
mod profile;
mod reply;
mod stream;
mod testing;

pub(crate) use body::PERMIT_BYTES;
pub use docs::openapi_document;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    response::Response,
};
use hyper::{Method, StatusCode, header};
use sommos_core::wire::{
    ApiError, ErrorCode,
    jobs::WorkKind,
    routes::{self, Route, RouteInfo},
};

use crate::app::App;
use exchange::Exchange;
use reply::Reply;

/// What a handler gets: the server, the request, and the path's raw parameter.
pub(crate) struct Call {
    pub app: Arc<App>,
    pub request: Request,
    pub param: String,
}

impl Call {
    /// The query string, without its question mark.
    fn query(&self) -> &str {
        self.request.uri().query().unwrap_or_default()
    }

    /// Whether the `Accept` header names this media type.
    fn accepts(&self, media_type: &str) -> bool {
        header_text(&self.request, header::ACCEPT).is_some_and(|accept| accept.contains(media_type))
    }

    /// Whether the body is of this media type.
    fn is(&self, media_type: &str) -> bool {
        header_text(&self.request, header::CONTENT_TYPE)
            .is_some_and(|content_type| content_type.starts_with(media_type))
    }
}

fn header_text(request: &Request, name: header::HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

/// The router of a server, for embedding and tests: one fallback, since the paths are core's.
pub fn router(app: Arc<App>) -> Router {
    Router::new().fallback(dispatch).with_state(app)
}

async fn dispatch(State(app): State<Arc<App>>, request: Request) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    // Without a peer the router is called directly, by a test.
    let address = peer.map_or(IpAddr::from([127, 0, 0, 1]), |peer| peer.0.ip());
    respond(app, address, request).await
}

/// Answers one request of a client at `address`.
pub(crate) async fn respond(app: Arc<App>, address: IpAddr, request: Request) -> Response {
    let origin = app.cors.allowed(request.headers());
    if request.method() == Method::OPTIONS {
        return app.cors.preflight(origin.as_ref());
    }
    let began = std::time::Instant::now();
    let negotiated = reply::Negotiated::of(request.headers());
    let found = routes::find(request.method().as_str(), request.uri().path())
        .map(|matched| (matched.route, matched.param.to_owned()));
    let exchange = Exchange {
        id: exchange::id_of(request.headers()),
        method: request.method().clone(),
        route: found.as_ref().ok().map(|(route, _)| *route),
        began,
    };
    app.monitoring.enter();
    let request = exchange.receive(&app, request);
    let result = match found {
        Err(error) => dashboard::answer(&app, address, request)
            .await
            .unwrap_or(Err(error)),
        Ok((route, param)) => answer(&app, address, route, param, request).await,
    };
    let mut response = match result {
        Ok(reply) => reply.into_response(&app, negotiated).await,
        Err(error) => reply::error(&error),
    };
    if let Some(origin) = origin {
        app.cors.mark(&mut response, origin);
    }
    exchange.answer(&app, response)
}

async fn answer(
    app: &Arc<App>,
    address: IpAddr,
    route: Route,
    param: String,
    request: Request,
) -> Result<Reply, ApiError> {
    let info = route.info();
    app.cors.check(request.method(), request.headers())?;
    let authorization = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(|h| h.as_bytes());
    app.tokens.check(authorization, info.scope)?;
    if let Some(limiter) = &app.limiter {
        limiter.check(address).await?;
    }
    let call = Call {
        app: Arc::clone(app),
        request,
        param,
    };
    let limit = match unlimited(info) {
        true => Duration::MAX,
        false => app.config.request_timeout(),
    };
    match tokio::time::timeout(limit, handle(route, call)).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::new(
            ErrorCode::RequestTimeout,
            format!("no answer within {} ms", app.config.request_timeout_ms),
        )),
    }
}

/// Calls that stream, or that last as long as they are told to.
fn unlimited(info: &RouteInfo) -> bool {
    matches!(
        info.route,
        Route::Events
            | Route::BatchProcess
            | Route::BatchResults
            | Route::TestLoad
            | Route::MonitoringProfile
            | Route::CacheWarm
    )
}

async fn handle(route: Route, call: Call) -> Result<Reply, ApiError> {
    match route {
        Route::CacheSet => cache::set(call).await,
        Route::CacheGet if call.app.shared.is_none() => cache::get(&call),
        // On the heap: else each of the calls above would carry, and move, room for the largest.
        other => Box::pin(handle_other(other, call)).await,
    }
}

async fn handle_other(route: Route, call: Call) -> Result<Reply, ApiError> {
    match route {
        Route::CacheGet => cache::get_shared(call.app, call.param).await,
        Route::CacheStats => cache::stats(&call),
        Route::CacheDistributedStats => cache::distributed_stats(call.app).await,
        Route::CacheDelete => cache::delete(call.app, call.param).await,
        Route::CacheClear => cache::clear(call.app).await,
        Route::CacheGetMany => cache::get_many(call).await,
        Route::CacheSetMany => cache::set_many(call).await,
        Route::CacheKeys => cache::keys(&call),
        Route::CacheGetOrLoad => cache::get_or_load(call).await,
        Route::CacheInvalidateTag => cache::invalidate_tag(call.app, call.param).await,
        Route::CacheWarm => cache::warm(call).await,
        Route::MemoryStats => memory::stats(&call),
        Route::MemoryAllocate => memory::allocate(call).await,
        Route::MemoryDeallocate => memory::deallocate(call).await,
        Route::MemoryCompress => memory::compress(call).await,
        Route::MemoryDecompress => memory::decompress(call).await,
        Route::HealthLive => Ok(health::live()),
        Route::HealthReady => health::ready(&call),
        Route::JobSubmit => jobs::submit(WorkKind::Job, call).await,
        Route::JobList => jobs::list(call).await,
        Route::JobMetrics => jobs::job_metrics(call).await,
        Route::JobGet => jobs::get(WorkKind::Job, call).await,
        Route::JobCancel => jobs::cancel(WorkKind::Job, call).await,
        Route::JobResult => jobs::result(WorkKind::Job, call).await,
        Route::JobRetry => jobs::retry(call).await,
        Route::TaskSubmit => jobs::submit(WorkKind::Task, call).await,
        Route::TaskMetrics => jobs::task_metrics(call).await,
        Route::TaskGet => jobs::get(WorkKind::Task, call).await,
        Route::TaskCancel => jobs::cancel(WorkKind::Task, call).await,
        Route::TaskResult => jobs::result(WorkKind::Task, call).await,
        Route::BatchProcess => batches::process(call).await,
        Route::BatchMetrics => batches::metrics(call).await,
        Route::BatchGet => batches::get(call).await,
        Route::BatchCancel => batches::cancel(call).await,
        Route::BatchResults => batches::results(call).await,
        Route::Events => events::stream(&call),
        Route::TestLoad => testing::load(call).await,
        Route::TestMemory => testing::memory(call).await,
        Route::MonitoringProfile => profile::flame_graph(call).await,
        Route::OpenApi => Ok(docs::openapi(&call)),
        Route::Docs => Ok(docs::page()),
        Route::MetricsReport => monitoring::report(call).await,
        Route::MonitoringSummary => monitoring::summary(call).await,
        Route::MonitoringMetrics => monitoring::metrics(&call),
        Route::MonitoringAlerts => monitoring::alerts(&call),
        Route::MonitoringExport => monitoring::export(call).await,
        Route::MonitoringTrends => monitoring::trends(&call),
        Route::MonitoringRules => monitoring::rules(&call),
        Route::AlertHistory => monitoring::alert_history(&call),
        Route::AlertResolve => monitoring::resolve(call).await,
        Route::Prometheus => monitoring::prometheus(call).await,
        other => Err(ApiError::new(
            ErrorCode::NotImplemented,
            format!("{} is not offered by this shell", other.info().path),
        )),
    }
}

/// An empty answer.
fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
