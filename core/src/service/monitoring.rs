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

/// Between two copies of the counters, milliseconds.
const TICK_MS: u64 = 1000;
/// Between two samples, milliseconds; the alert rules step with each.
const SAMPLE_MS: u64 = 5000;

/// When the monitor was last looked after.
#[derive(Default)]
pub(super) struct Watch {
    ticked: Timestamp,
    sampled: Timestamp,
}

impl Service {
    /// Does what is due for the monitor: rolling windows, history, alerts. Without a thread of its
    /// own the service does it with each call, so a quiet time is one long interval.
    pub(super) fn watch(&mut self, now: Timestamp) {
        if now.ms_since(self.watch.ticked) >= TICK_MS {
            self.watch.ticked = now;
            self.monitor.tick(now);
        }
        if now.ms_since(self.watch.sampled) >= SAMPLE_MS {
            self.watch.sampled = now;
            self.record_cache();
            self.monitor.sample(now);
            let entropy = &mut self.entropy;
            let mut random = || super::random_bytes(entropy);
            self.monitor.evaluate(now, &mut random);
        }
    }

    fn record_cache(&self) {
        let stats = self.cache.stats();
        self.monitor.record_cache(CacheFigures {
            hits: stats.hits,
            misses: stats.misses,
            size: Some(stats.size as u64),
            memory: Some(stats.memory_usage),
        });
    }

    pub(super) fn monitoring_call(
        &mut self,
        now: Timestamp,
        route: Route,
        param: &str,
        request: &Request<'_>,
    ) -> Result<Response, ApiError> {
        self.record_cache();
        let monitor = &self.monitor;
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
