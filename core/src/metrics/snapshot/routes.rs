//! The counters of every route, found again by method and template.

use core::sync::atomic::Ordering::Relaxed;

use super::{
    SnapshotError,
    codec::{COUNT_MAX, Packed, Reader, Writer},
};
use crate::metrics::{
    Histogram, MonitorConfig, Route,
    traffic::{CLASSES, ClassCounts, REPORTED_MAX, RouteCell, STATUSES, Traffic},
};

impl Packed for Histogram {
    fn pack(&self, to: &mut Writer) {
        to.sparse(self.counts.iter().copied());
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut histogram = Self::default();
        from.sparse(histogram.counts.as_mut_slice())?;
        Ok(histogram)
    }
}

impl Packed for ClassCounts {
    fn pack(&self, to: &mut Writer) {
        to.sparse(self.buckets.iter().copied());
        to.number(self.sum_us);
        to.number(self.unmeasured);
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut counts = Self::default();
        from.sparse(&mut counts.buckets)?;
        counts.sum_us = from.number()?;
        counts.unmeasured = from.number()?;
        Ok(counts)
    }
}

impl Packed for Route {
    fn pack(&self, to: &mut Writer) {
        self.method.pack(to);
        self.template.pack(to);
    }
    fn unpack(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Self {
            method: from.text(Self::TEXT_BYTES_MAX)?,
            template: from.text(Self::TEXT_BYTES_MAX)?,
        })
    }
}

/// What the sums over all routes may still grow by: values, responses, microseconds.
struct Room {
    values: u64,
    responses: u64,
    sum_us: u64,
}

impl Room {
    fn take(&mut self, values: u64, classes: &[ClassCounts; CLASSES]) -> Option<()> {
        self.values = self.values.checked_sub(values)?;
        for class in classes {
            self.responses = self.responses.checked_sub(class.count())?;
            self.sum_us = self.sum_us.checked_sub(class.sum_us)?;
        }
        Some(())
    }
}

fn pack_cell(traffic: &Traffic, index: usize, to: &mut Writer) {
    let mut durations = Histogram::default();
    if let Some(cell) = traffic.cell(index) {
        cell.durations.add_to(&mut durations);
    }
    durations.pack(to);
    for class in traffic.classes(index) {
        class.pack(to);
    }
    let statuses = traffic.cell(index).map(|cell| &cell.statuses);
    to.sparse(
        statuses
            .into_iter()
            .flatten()
            .map(|count| count.load(Relaxed)),
    );
    to.number(traffic.bytes_out(index));
    to.number(traffic.bytes_in(index));
}

fn unpack_cell(
    cell: &RouteCell,
    room: &mut Room,
    from: &mut Reader<'_>,
) -> Result<(), SnapshotError> {
    let durations = Histogram::unpack(from)?;
    let mut classes = [ClassCounts::default(); CLASSES];
    for class in &mut classes {
        *class = ClassCounts::unpack(from)?;
    }
    let fits = room.take(durations.count(), &classes).is_some();
    from.check(fits, "counters that add up to over 2^62")?;
    cell.durations.add(&durations);
    for (class, counts) in cell.classes.iter().zip(&classes) {
        for (bucket, count) in class.buckets.iter().zip(counts.buckets) {
            bucket.fetch_add(count, Relaxed);
        }
        class.sum_us.fetch_add(counts.sum_us, Relaxed);
        class.unmeasured.fetch_add(counts.unmeasured, Relaxed);
    }
    let mut statuses = [0; STATUSES.len()];
    // Not held against the classes: both grow while they are written down.
    let fits = from.sparse(&mut statuses)? <= 1 << 62;
    from.check(fits, "counters that add up to over 2^62")?;
    for (status, count) in cell.statuses.iter().zip(statuses) {
        status.fetch_add(count, Relaxed);
    }
    cell.bytes_out.fetch_add(from.number()?, Relaxed);
    cell.bytes_in.fetch_add(from.number()?, Relaxed);
    Ok(())
}

/// Writes every route that answered, `other` first, the listed ones, then those that the host
/// application reported. Requests at work are not told apart: they end
/// with the process.
pub(super) fn pack_traffic(traffic: &Traffic, to: &mut Writer) {
    to.number(traffic.started.load(Relaxed));
    let other = traffic.cells.len().saturating_sub(1);
    pack_cell(traffic, other, to);
    let routes = traffic.routes();
    let listed = routes.iter().enumerate().take(other);
    let answered = |&(index, _): &(usize, &&Route)| {
        traffic.classes(index).iter().any(|class| class.count() > 0)
    };
    pack_routes(traffic, listed.filter(answered).collect(), to);
    pack_routes(
        traffic,
        routes.iter().enumerate().skip(other + 1).collect(),
        to,
    );
}

fn pack_routes(traffic: &Traffic, routes: Vec<(usize, &&Route)>, to: &mut Writer) {
    to.number(routes.len() as u64);
    for (index, route) in routes {
        route.pack(to);
        pack_cell(traffic, index, to);
    }
}

/// Adds to counters at zero. A route that is no longer listed counts as `other`, as its requests
/// do from now on: the totals keep what the windows and the history were made of.
pub(super) fn unpack_traffic(
    traffic: &Traffic,
    from: &mut Reader<'_>,
) -> Result<(), SnapshotError> {
    let started = from.number()?;
    traffic.started.store(started, Relaxed);
    traffic.ended.store(started, Relaxed);
    let Some((other, cells)) = traffic.cells.split_last() else {
        return Err(from.malformed("no counters to restore to"));
    };
    let routes = traffic.routes();
    let mut room = Room {
        values: COUNT_MAX,
        responses: COUNT_MAX,
        sum_us: COUNT_MAX,
    };
    unpack_cell(other, &mut room, from)?;
    let length = from.length(
        MonitorConfig::ROUTES_MAX,
        "more routes than are counted apart",
    )?;
    for _ in 0..length {
        let route = Route::unpack(from)?;
        let mut pairs = routes.iter().zip(cells);
        let known = pairs.find(|(known, _)| ***known == route);
        unpack_cell(known.map_or(other, |(_, cell)| cell), &mut room, from)?;
    }
    let length = from.length(REPORTED_MAX, "more reported routes than are counted apart")?;
    for _ in 0..length {
        let route = Route::unpack(from)?;
        let cell = traffic.reported_cell(&route).unwrap_or(other);
        unpack_cell(cell, &mut room, from)?;
    }
    Ok(())
}
