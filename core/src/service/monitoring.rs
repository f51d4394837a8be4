//! Monitoring calls.

use super::{Request, Response, Service, not_offered};
use crate::{
    metrics::{CacheFigures, Monitor, MonitorConfig},
    time::Timestamp,
    wire::{
        ApiError, envelope,
        monitoring::{self as wire, PROMETHEUS},
        routes::Route,
    },
};

/// A monitor of the route list with the default rules.
pub(super) fn monitor(now: Timestamp) -> Monitor {
    let config = MonitorConfig {
        routes: wire::routes(),
        ..MonitorConfig::default()
    };
    match Monitor::new(now, config) {
        Ok(monitor) => monitor,
        // The route list is within its limit and the default rules are valid; a test says so.
        Err(error) => unreachable!("{error}"),
    }
}

/// Counts an answered request. Its duration is unknown here: the clock does not run in a call.
pub(super) fn count(monitor: &Monitor, route: Option<Route>, response: &Response) {
    let bytes = response.body.len() as u64;
    monitor.record_request(wire::route_index(route), response.status, 0, bytes);
    monitor.request_ended();
}

impl Service {
    pub(super) fn monitoring_call(
        &mut self,
        now: Timestamp,
        route: Route,
        param: &str,
        request: &Request<'_>,
    ) -> Result<Response, ApiError> {
        let stats = self.cache.stats();
        let monitor = &self.monitor;
        monitor.record_cache(CacheFigures {
            hits: stats.hits,
            misses: stats.misses,
            size: Some(stats.size as u64),
            memory: Some(stats.memory_usage),
        });
        let json = match route {
            Route::MetricsReport => wire::report(monitor, now, request.body, &self.config.limits)?,
            Route::MonitoringSummary => envelope::data(&monitor.summary(now))?,
            Route::MonitoringMetrics => wire::metrics(monitor, now, request.query)?,
            Route::MonitoringAlerts => wire::alerts(monitor)?,
            Route::AlertResolve => wire::resolve(monitor, now, param)?,
            Route::MonitoringExport => {
                let (content_type, body) = wire::export(monitor, now, request.query, &[])?;
                return Ok(Response {
                    status: 200,
                    content_type,
                    body,
                });
            }
            Route::Prometheus => {
                let body = monitor.export_prometheus(now, &[]).into_bytes();
                return Ok(Response {
                    status: 200,
                    content_type: PROMETHEUS,
                    body,
                });
            }
            other => return Err(not_offered(other)),
        };
        Ok(Response::json(json))
    }
}
