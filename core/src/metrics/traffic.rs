//! The hot path: requests counted by route and status class, with atomics only.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::OnceLock;

use super::{
    Endpoint, Histogram, MonitorConfig, MonitorError,
    histogram::{AtomicHistogram, VALUE_MAX},
    rounded,
};

/// Upper ends of the exported buckets, microseconds: the boundaries that OpenTelemetry advises for
/// `http.server.request.duration` (semantic conventions for HTTP metrics).
pub(super) const BOUNDARIES_US: [u64; 14] = [
    5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000,
    2_500_000, 5_000_000, 7_500_000, 10_000_000,
];
/// Statuses that are counted apart; any other is counted under its class alone. In order.
pub(super) const STATUSES: [u16; 24] = [
    101, 200, 201, 202, 204, 206, 301, 302, 304, 400, 401, 403, 404, 405, 406, 408, 409, 410, 413,
    422, 429, 500, 501, 503,
];
/// Status classes 1xx to 5xx.
pub(super) const CLASSES: usize = 5;
/// The place of 5xx.
pub(super) const SERVER_ERROR: usize = 4;
pub(super) const CLIENT_ERROR: usize = 3;
/// Routes of the host application's that are counted apart; more are counted as `other`.
pub(super) const REPORTED_MAX: usize = 128;

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
    /// Responses by status, as in [`STATUSES`].
    pub(super) statuses: [AtomicU64; STATUSES.len()],
    pub(super) bytes_out: AtomicU64,
    pub(super) bytes_in: AtomicU64,
}

impl RouteCell {
    fn record(&self, status: u16, duration_us: u64, bytes_out: u64) {
        // An hour at most, as in the histogram: no sum can overflow.
        let duration_us = duration_us.min(VALUE_MAX);
        self.durations.record(duration_us);
        let bucket = BOUNDARIES_US.partition_point(|&end| end < duration_us);
        let class = &self.classes[class_of(status)];
        class.buckets[bucket].fetch_add(1, Relaxed);
        class.sum_us.fetch_add(duration_us, Relaxed);
        if let Ok(index) = STATUSES.binary_search(&status) {
            self.statuses[index].fetch_add(1, Relaxed);
        }
        self.bytes_out.fetch_add(bytes_out, Relaxed);
    }

    pub(super) fn counts(&self) -> [ClassCounts; CLASSES] {
        let load = |cell: &ClassCell| ClassCounts {
            buckets: core::array::from_fn(|i| cell.buckets[i].load(Relaxed)),
            sum_us: cell.sum_us.load(Relaxed),
            unmeasured: cell.unmeasured.load(Relaxed),
        };
        self.classes.each_ref().map(load)
    }
}

/// A route that the host application reports, counted since its first request.
#[derive(Debug)]
struct Reported {
    route: Route,
    cell: RouteCell,
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
    /// Filled from the front; a route's index goes on after the cells.
    reported: Vec<OnceLock<Box<Reported>>>,
    pub(super) started: AtomicU64,
    pub(super) ended: AtomicU64,
}

impl Traffic {
    /// Heap bytes of `routes` routes and `other`, and of as many reported ones as there may be.
    pub(super) const fn bytes_max(routes: usize) -> usize {
        let text = 2 * Route::TEXT_BYTES_MAX;
        (routes + 1) * (size_of::<RouteCell>() + size_of::<Route>() + text)
            + REPORTED_MAX * (size_of::<OnceLock<Box<Reported>>>() + size_of::<Reported>() + text)
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
            reported: (0..REPORTED_MAX).map(|_| OnceLock::new()).collect(),
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
        cell.record(status, duration_us, bytes_out);
    }

    /// Counts a request of the host application's: one of the listed routes, else one of its own.
    pub(super) fn report(&self, route: Route, status: u16, duration_us: u64, bytes_out: u64) {
        self.start();
        self.end();
        let listed = self.routes.iter().position(|known| *known == route);
        let cell = listed.and_then(|index| self.cells.get(index));
        let cell = cell.or_else(|| self.reported_cell(&route));
        if let Some(cell) = cell.or(self.cells.last()) {
            cell.record(status, duration_us, bytes_out);
        }
    }

    /// The cell of a route of the host application's; none when there are too many already.
    pub(super) fn reported_cell(&self, route: &Route) -> Option<&RouteCell> {
        let new = || {
            Box::new(Reported {
                route: route.clone(),
                cell: RouteCell::default(),
            })
        };
        // Where another thread was faster with another route, the next place is tried.
        let reported = self.reported.iter().map(|place| place.get_or_init(new));
        let mut cells = reported.filter(|reported| reported.route == *route);
        cells.next().map(|reported| &reported.cell)
    }

    pub(super) fn cell(&self, index: usize) -> Option<&RouteCell> {
        let reported = || {
            let place = self.reported.get(index.checked_sub(self.cells.len())?)?;
            place.get().map(|reported| &reported.cell)
        };
        self.cells.get(index).or_else(reported)
    }

    /// Counts bytes of a request's body.
    pub(super) fn receive(&self, route: usize, bytes: u64) {
        let cell = self.cells.get(route).or(self.cells.last());
        let Some(cell) = cell else { return };
        cell.bytes_in.fetch_add(bytes, Relaxed);
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
        if let Ok(index) = STATUSES.binary_search(&status) {
            cell.statuses[index].fetch_add(count, Relaxed);
        }
        cell.bytes_out.fetch_add(bytes_out, Relaxed);
    }

    /// A copy of everything together; O(896 a route that answered).
    pub(super) fn totals(&self) -> Totals {
        // Ended before started: a request between the two loads must not give a negative number.
        let ended = self.ended.load(Relaxed);
        let started = self.started.load(Relaxed);
        let mut totals = Totals {
            started,
            in_flight: started.saturating_sub(ended),
            ..Totals::default()
        };
        for cell in self.cells.iter().chain(self.reported().map(|r| &r.cell)) {
            let counts = cell.counts();
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

    /// The listed routes with `other`, then the reported ones; a route's place is its index.
    pub(super) fn routes(&self) -> Vec<&Route> {
        let reported = self.reported().map(|reported| &reported.route);
        self.routes.iter().chain(reported).collect()
    }

    fn reported(&self) -> impl Iterator<Item = &Reported> {
        self.reported
            .iter()
            .map_while(|place| place.get().map(|reported| &**reported))
    }

    pub(super) fn bytes_out(&self, route: usize) -> u64 {
        self.cell(route)
            .map_or(0, |cell| cell.bytes_out.load(Relaxed))
    }

    pub(super) fn bytes_in(&self, route: usize) -> u64 {
        self.cell(route)
            .map_or(0, |cell| cell.bytes_in.load(Relaxed))
    }

    /// Responses by status, those that there were.
    pub(super) fn statuses(&self, route: usize) -> Vec<(u16, u64)> {
        let Some(cell) = self.cell(route) else {
            return Vec::new();
        };
        let counts = cell.statuses.each_ref().map(|count| count.load(Relaxed));
        let pairs = STATUSES.into_iter().zip(counts);
        pairs.filter(|(_, count)| *count > 0).collect()
    }

    pub(super) fn classes(&self, route: usize) -> [ClassCounts; CLASSES] {
        self.cell(route).map(RouteCell::counts).unwrap_or_default()
    }

    /// Every route that answered at least once.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let listed = self.routes.iter().zip(&self.cells);
        let reported = self.reported().map(|r| (&r.route, &r.cell));
        listed
            .chain(reported)
            .filter_map(|(route, cell)| Endpoint::new(route, cell))
            .collect()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let text = |route: &Route| route.method.len() + route.template.len();
        let reported = |r: &Reported| size_of::<Reported>() + text(&r.route);
        self.routes.capacity() * size_of::<Route>()
            + self.routes.iter().map(text).sum::<usize>()
            + self.cells.capacity() * size_of::<RouteCell>()
            + self.reported.capacity() * size_of::<OnceLock<Box<Reported>>>()
            + self.reported().map(reported).sum::<usize>()
    }
}
