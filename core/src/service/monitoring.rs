//! Monitoring calls, and those of tracked allocations: what is counted over time.

use super::{Request, Response, not_offered};
use crate::{
    limits::Limits,
    metrics::{CacheFigures, Monitor, MonitorConfig},
    time::Timestamp,
    wire::{
        ApiError, envelope,
        memory::{AllocationRequest, AllocationTracker, MemoryPools, MemoryStatsResponse},
        monitoring::{self as wire, PROMETHEUS},
        routes::Route,
    },
};

/// Between two copies of the counters, milliseconds.
const TICK_MS: u64 = 1000;
/// Between two samples, milliseconds; the alert rules step with each.
const SAMPLE_MS: u64 = 5000;

/// The configuration of a monitor of the route list with the default rules.
#[must_use]
pub fn monitor_config() -> MonitorConfig {
    MonitorConfig {
        routes: wire::routes(),
        ..MonitorConfig::default()
    }
}

/// The monitor and the allocations of a shell without a thread that looks after them.
#[derive(Debug)]
pub struct Monitoring {
    /// The registry.
    pub monitor: Monitor,
    /// What the host application says it allocated.
    pub allocations: AllocationTracker,
    ticked: Timestamp,
    sampled: Timestamp,
}

impl Monitoring {
    /// An empty monitor of the route list.
    #[must_use]
    pub fn new(now: Timestamp, memory_limit_bytes: u64) -> Self {
        let allocations = AllocationTracker::new(memory_limit_bytes);
        match Monitor::new(now, monitor_config()) {
            Ok(monitor) => Self::of(monitor, allocations),
            // The route list is within its limit and the default rules are valid; a test says so.
            Err(error) => unreachable!("{error}"),
        }
    }

    /// Around what was kept.
    #[must_use]
    pub fn of(monitor: Monitor, allocations: AllocationTracker) -> Self {
        Self {
            monitor,
            allocations,
            ticked: Timestamp::ZERO,
            sampled: Timestamp::ZERO,
        }
    }

    /// Does what is due: rolling windows, history, alerts. Without a thread of its own a shell
    /// does it with each call, so a quiet time is one long interval.
    pub fn watch(
        &mut self,
        now: Timestamp,
        cache: CacheFigures,
        random: &mut dyn FnMut() -> [u8; 16],
    ) {
        if now.ms_since(self.ticked) >= TICK_MS {
            self.ticked = now;
            self.monitor.tick(now);
        }
        if now.ms_since(self.sampled) >= SAMPLE_MS {
            self.sampled = now;
            self.monitor.record_cache(cache);
            self.monitor.sample(now);
            let mut random = || random();
            self.monitor.evaluate(now, &mut random);
        }
    }

    /// Counts an answered request. Its duration is unknown here: the clock does not run in a call.
    pub fn count(&self, route: Option<Route>, response: &Response) {
        let bytes = response.body.len() as u64;
        self.monitor
            .count_request(wire::route_index(route), response.status, bytes);
        self.monitor.request_ended();
    }

    /// Answers the calls of monitoring and of tracked allocations.
    ///
    /// # Errors
    /// What the call answers instead; `NOT_IMPLEMENTED` for a route of another part.
    pub fn call(
        &mut self,
        now: Timestamp,
        route: Route,
        param: &str,
        request: &Request<'_>,
        cache: CacheFigures,
        limits: &Limits,
    ) -> Result<Response, ApiError> {
        self.monitor.record_cache(cache);
        let monitor = &self.monitor;
        let json = match route {
            Route::MetricsReport => wire::report(monitor, now, request.body, limits)?,
            Route::MonitoringSummary => wire::summary(monitor, now, request.query)?,
            Route::MonitoringMetrics => wire::metrics(monitor, now, request.query)?,
            Route::MonitoringAlerts => wire::alerts(monitor)?,
            Route::MonitoringTrends => wire::trends(monitor, now, request.query)?,
            Route::MonitoringRules => wire::rules(monitor)?,
            Route::AlertHistory => wire::alert_history(monitor, request.query)?,
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
            Route::MemoryStats => envelope::data(&MemoryStatsResponse {
                tracking: self.allocations.tracking(),
                pools: MemoryPools {
                    lazy_cache: cache.size.unwrap_or(0),
                    ..Default::default()
                },
                ..Default::default()
            })?,
            Route::MemoryAllocate | Route::MemoryDeallocate => {
                let allocate = route == Route::MemoryAllocate;
                let (size, kind) = AllocationRequest::decode(request.body, limits)?;
                envelope::data(&self.allocations.answer(now, allocate, size, &kind)?)?
            }
            other => return Err(not_offered(other)),
        };
        Ok(Response::json(json))
    }
}
