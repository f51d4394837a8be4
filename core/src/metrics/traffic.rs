//! The hot path: requests counted by route and status class, with atomics only.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use super::{
    Histogram, MonitorConfig, MonitorError,
    histogram::{AtomicHistogram, VALUE_MAX},
    percent, rounded,
};

/// Upper ends of the exported buckets, microseconds: the boundaries that OpenTelemetry advises for
/// `http.server.request.duration` (semantic conventions for HTTP metrics).
pub(super) const BOUNDARIES_US: [u64; 14] = [
    5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000,
    2_500_000, 5_000_000, 7_500_000, 10_000_000,
];
/// The same, in seconds as text.
pub(super) const BOUNDARIES_S: [&str; 14] = [
    "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5",
    "7.5", "10",
];
/// Status classes 1xx to 5xx.
pub(super) const CLASSES: usize = 5;
/// The place of 5xx.
pub(super) const SERVER_ERROR: usize = 4;
const CLIENT_ERROR: usize = 3;

/// One route as counted: the method is part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The HTTP method, upper case.
    pub method: Box<str>,
    /// The template, such as `/api/performance/cache/get/{key}`: never a path with values in it.
    pub template: Box<str>,
}

impl Route {
    /// Longest method or template that is kept; the rest is cut off.
    pub const TEXT_BYTES_MAX: usize = 256;

    /// The route of a method and a template.
    #[must_use]
    pub fn new(method: &str, template: &str) -> Self {
        Self {
            method: super::clipped(method, Self::TEXT_BYTES_MAX),
            template: super::clipped(template, Self::TEXT_BYTES_MAX),
        }
    }
}

/// Counters of one route and status class. `buckets` are disjoint, the last is over 10 s.
#[derive(Debug, Default)]
pub(super) struct ClassCell {
    pub(super) buckets: [AtomicU64; BOUNDARIES_US.len() + 1],
    pub(super) sum_us: AtomicU64,
    /// Responses whose duration is not known; in no bucket.
    pub(super) unmeasured: AtomicU64,
}

/// Counters of one route, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct RouteCell {
    pub(super) durations: AtomicHistogram,
    pub(super) classes: [ClassCell; CLASSES],
    pub(super) bytes_out: AtomicU64,
}

/// A copy of one route's counters of one status class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ClassCounts {
    pub(super) buckets: [u64; BOUNDARIES_US.len() + 1],
    pub(super) sum_us: u64,
    pub(super) unmeasured: u64,
}

impl ClassCounts {
    /// All responses.
    pub(super) fn count(&self) -> u64 {
        self.measured().saturating_add(self.unmeasured)
    }

    /// Those whose duration is known.
    pub(super) fn measured(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// A copy of the counters of all routes together.
#[derive(Debug, Clone, Default)]
pub(super) struct Totals {
    pub(super) started: u64,
    pub(super) in_flight: u64,
    pub(super) classes: [u64; CLASSES],
    /// Responses whose duration is known.
    pub(super) measured: u64,
    pub(super) sum_us: u64,
    pub(super) bytes_out: u64,
    pub(super) durations: Histogram,
}

impl Totals {
    pub(super) fn responses(&self) -> u64 {
        self.classes.iter().sum()
    }
}

/// What one route did since the start.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Endpoint {
    /// The HTTP method.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub method: Box<str>,
    /// The route's template; `other` for requests of no listed route.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub route: Box<str>,
    /// Responses.
    pub responses: u64,
    /// Responses of 400 to 499.
    pub client_errors: u64,
    /// Responses of 500 and above.
    pub errors: u64,
    /// `errors` of `responses`, percent.
    pub error_rate: f64,
    /// Mean response time, milliseconds; null when none could be measured.
    pub response_time: Option<f64>,
    /// Median, milliseconds; null likewise.
    pub p50_ms: Option<f64>,
    /// 95th percentile, milliseconds.
    pub p95_ms: Option<f64>,
    /// 99th percentile, milliseconds.
    pub p99_ms: Option<f64>,
    /// Bytes of response bodies.
    pub bytes_out: u64,
}

/// No status (0) and nonsense count as failures of the server.
const fn class_of(status: u16) -> usize {
    match status / 100 {
        n @ 1..=4 => n as usize - 1,
        _ => SERVER_ERROR,
    }
}

/// The mean of so many durations, milliseconds; none of none.
pub(super) fn mean_ms(sum_us: u64, measured: u64) -> Option<f64> {
    (measured > 0).then(|| rounded(sum_us as f64 / measured as f64 / 1000.0, 3))
}

/// The counters of every route; the last cell is `other`.
#[derive(Debug)]
pub(super) struct Traffic {
    routes: Vec<Route>,
    pub(super) cells: Vec<RouteCell>,
    pub(super) started: AtomicU64,
    pub(super) ended: AtomicU64,
}

impl Traffic {
    /// Heap bytes of `routes` routes and `other`.
    pub(super) const fn bytes_max(routes: usize) -> usize {
        (routes + 1) * (size_of::<RouteCell>() + size_of::<Route>() + 2 * Route::TEXT_BYTES_MAX)
    }

    pub(super) fn new(mut routes: Vec<Route>) -> Self {
        routes.push(Route::new("_OTHER", "other"));
        for route in &mut routes {
            *route = Route::new(&route.method, &route.template);
        }
        routes.shrink_to_fit();
        let cells = routes.iter().map(|_| RouteCell::default()).collect();
        Self {
            routes,
            cells,
            started: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }

    pub(super) fn add(&mut self, route: Route) -> Result<usize, MonitorError> {
        if let Some(known) = self.routes.iter().position(|r| *r == route) {
            return Ok(known);
        }
        // `other` stays the last.
        let index = self.routes.len().saturating_sub(1);
        if index >= MonitorConfig::ROUTES_MAX {
            return Err(MonitorError::TooManyRoutes {
                count: index + 1,
                max: MonitorConfig::ROUTES_MAX,
            });
        }
        // A cell is big: room for exactly one more.
        self.routes.reserve_exact(1);
        self.cells.reserve_exact(1);
        self.routes.insert(index, route);
        self.cells.insert(index, RouteCell::default());
        Ok(index)
    }

    pub(super) fn start(&self) {
        self.started.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self) {
        self.ended.fetch_add(1, Relaxed);
    }

    pub(super) fn record(&self, route: usize, status: u16, duration_us: u64, bytes_out: u64) {
        let cell = self.cells.get(route).or(self.cells.last());
        let Some(cell) = cell else { return };
        let class = class_of(status);
        // An hour at most, as in the histogram: no sum can overflow.
        let duration_us = duration_us.min(VALUE_MAX);
        cell.durations.record(duration_us);
        let bucket = BOUNDARIES_US.partition_point(|&end| end < duration_us);
        let class = &cell.classes[class];
        class.buckets[bucket].fetch_add(1, Relaxed);
        class.sum_us.fetch_add(duration_us, Relaxed);
        cell.bytes_out.fetch_add(bytes_out, Relaxed);
    }

    /// Counts responses whose requests were not seen here, and whose durations are not known.
    pub(super) fn add_passed(&self, route: usize, status: u16, count: u64, bytes_out: u64) {
        self.started.fetch_add(count, Relaxed);
        self.ended.fetch_add(count, Relaxed);
        self.add_unmeasured(route, status, count, bytes_out);
    }

    /// Counts a response whose duration is not known.
    pub(super) fn count(&self, route: usize, status: u16, bytes_out: u64) {
        self.add_unmeasured(route, status, 1, bytes_out);
    }

    fn add_unmeasured(&self, route: usize, status: u16, count: u64, bytes_out: u64) {
        let cell = self.cells.get(route).or(self.cells.last());
        let Some(cell) = cell else { return };
        let class = &cell.classes[class_of(status)];
        class.unmeasured.fetch_add(count, Relaxed);
        cell.bytes_out.fetch_add(bytes_out, Relaxed);
    }

    /// A copy of everything together; O(896 a route).
    pub(super) fn totals(&self) -> Totals {
        // Ended before started: a request between the two loads must not give a negative number.
        let ended = self.ended.load(Relaxed);
        let started = self.started.load(Relaxed);
        let mut totals = Totals {
            started,
            in_flight: started.saturating_sub(ended),
            ..Totals::default()
        };
        for (index, cell) in self.cells.iter().enumerate() {
            let counts = self.classes(index);
            for (sum, class) in totals.classes.iter_mut().zip(&counts) {
                *sum += class.count();
                totals.measured += class.measured();
                totals.sum_us += class.sum_us;
            }
            if counts.iter().any(|class| class.count() > 0) {
                cell.durations.add_to(&mut totals.durations);
            }
            totals.bytes_out = totals
                .bytes_out
                .saturating_add(cell.bytes_out.load(Relaxed));
        }
        totals
    }

    pub(super) fn routes(&self) -> &[Route] {
        &self.routes
    }

    pub(super) fn bytes_out(&self, route: usize) -> u64 {
        self.cells[route].bytes_out.load(Relaxed)
    }

    pub(super) fn classes(&self, route: usize) -> [ClassCounts; CLASSES] {
        let load = |cell: &ClassCell| ClassCounts {
            buckets: core::array::from_fn(|i| cell.buckets[i].load(Relaxed)),
            sum_us: cell.sum_us.load(Relaxed),
            unmeasured: cell.unmeasured.load(Relaxed),
        };
        self.cells[route].classes.each_ref().map(load)
    }

    /// Every route that answered at least once.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        (0..self.cells.len())
            .filter_map(|i| self.endpoint(i))
            .collect()
    }

    fn endpoint(&self, index: usize) -> Option<Endpoint> {
        let classes = self.classes(index);
        let responses: u64 = classes.iter().map(ClassCounts::count).sum();
        if responses == 0 {
            return None;
        }
        let mut durations = Histogram::default();
        self.cells[index].durations.add_to(&mut durations);
        let ms = |q| durations.quantile(q).map(|us| rounded(us / 1000.0, 3));
        let sum_us: u64 = classes.iter().map(|class| class.sum_us).sum();
        let errors = classes[SERVER_ERROR].count();
        Some(Endpoint {
            method: self.routes[index].method.clone(),
            route: self.routes[index].template.clone(),
            responses,
            client_errors: classes[CLIENT_ERROR].count(),
            errors,
            error_rate: percent(errors as f64, responses as f64),
            response_time: mean_ms(sum_us, classes.iter().map(ClassCounts::measured).sum()),
            p50_ms: ms(0.5),
            p95_ms: ms(0.95),
            p99_ms: ms(0.99),
            bytes_out: self.bytes_out(index),
        })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let text = |route: &Route| route.method.len() + route.template.len();
        self.routes.capacity() * size_of::<Route>()
            + self.routes.iter().map(text).sum::<usize>()
            + self.cells.capacity() * size_of::<RouteCell>()
    }
}
