//! Monitoring calls.

use sommos_core::wire::{
    ApiError, ErrorCode, envelope,
    monitoring::{self as wire, PROMETHEUS},
};

use super::{Call, jobs::refused, reply::Reply};
use crate::monitoring::{cluster_summary, families, refresh_cache, resolve_alert};

pub(super) async fn report(call: Call) -> Result<Reply, ApiError> {
    let (app, held) = call.body().await?;
    let registry = &app.monitoring.registry;
    wire::report(registry, app.now(), &held.bytes, &app.limits).map(Reply::json)
}

pub(super) async fn summary(call: Call) -> Result<Reply, ApiError> {
    let scope = wire::Scope::of(call.query())?;
    let app = call.app;
    refresh_cache(&app);
    let json = match scope {
        wire::Scope::Node => envelope::data(&app.monitoring.registry.summary(app.now())),
        wire::Scope::Cluster => envelope::data(&cluster_summary(&app).await),
    };
    json.map(Reply::json)
}

pub(super) fn metrics(call: &Call) -> Result<Reply, ApiError> {
    let app = &call.app;
    refresh_cache(app);
    let registry = &app.monitoring.registry;
    wire::metrics(registry, app.now(), call.query()).map(|json| Reply::json(json).tagged())
}

pub(super) fn alerts(call: &Call) -> Result<Reply, ApiError> {
    wire::alerts(&call.app.monitoring.registry).map(Reply::json)
}

pub(super) fn alert_history(call: &Call) -> Result<Reply, ApiError> {
    wire::alert_history(&call.app.monitoring.registry, call.query()).map(Reply::json)
}

pub(super) fn rules(call: &Call) -> Result<Reply, ApiError> {
    wire::rules(&call.app.monitoring.registry).map(Reply::json)
}

/// Bounded arithmetic, see `Monitor::trends`: not given to another thread.
pub(super) fn trends(call: &Call) -> Result<Reply, ApiError> {
    let app = &call.app;
    wire::trends(&app.monitoring.registry, app.now(), call.query()).map(Reply::json)
}

pub(super) async fn resolve(call: Call) -> Result<Reply, ApiError> {
    let Call { app, param, .. } = call;
    let asked = tokio::task::spawn_blocking(move || resolve_alert(&app, &param));
    asked
        .await
        .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))?
        .map(Reply::json)
}

pub(super) async fn export(call: Call) -> Result<Reply, ApiError> {
    let app = &call.app;
    refresh_cache(app);
    let queue = app.queue.metrics().await.map_err(|e| refused(&e))?;
    let extra = families(app, &queue);
    let registry = &app.monitoring.registry;
    let (content_type, body) = wire::export(registry, app.now(), call.query(), &extra)?;
    Ok(Reply::typed(content_type, body).tagged())
}

pub(super) async fn prometheus(call: Call) -> Result<Reply, ApiError> {
    let app = &call.app;
    refresh_cache(app);
    let queue = app.queue.metrics().await.map_err(|e| refused(&e))?;
    let text = app
        .monitoring
        .registry
        .export_prometheus(app.now(), &families(app, &queue));
    Ok(Reply::typed(PROMETHEUS, text))
}
