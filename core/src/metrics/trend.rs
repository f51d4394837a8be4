//! Trends: where each figure of a category is going.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    AlertName, Category, Monitor, MonitorError,
    category::{COLUMNS, start_of},
    history::{History, Row},
    slope::{self, Course, Line},
    unit,
};
use crate::time::Timestamp;

/// Points that a window is folded to at most: 28,680 slopes a figure.
const POINTS_MAX: u64 = 240;
/// The five-second rows reach so far back; before, there are minutes.
const FINE_MS: u64 = 3_600_000;
const HOUR_MS: f64 = 3_600_000.0;
/// A threshold that is further away than this is not in sight: a year.
const SIGHT_MS: f64 = 365.0 * 86_400_000.0;

/// Which way a figure goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Direction {
    /// It grows, more surely than chance would have it (Mann and Kendall's test at 5 %).
    Rising,
    /// It shrinks, likewise.
    Falling,
    /// Neither.
    Flat,
}

/// A value far from where the line through the others has it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Outlier {
    /// Where its interval begins, Unix milliseconds.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub timestamp: Timestamp,
    /// The value, in the figure's unit.
    pub value: f64,
}

/// Where one figure is going. Numbers are in its unit; null where there is too little to tell.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Trend {
    /// The figure's unit.
    pub unit: &'static str,
    /// Intervals of the window with a known value.
    pub samples: u64,
    /// Mean over the window.
    pub mean: Option<f64>,
    /// Median slope over all pairs of intervals (Theil and Sen), units an hour.
    pub slope_per_hour: Option<f64>,
    /// Which way it goes.
    pub direction: Direction,
    /// `mean` less the mean over the window before.
    pub change: Option<f64>,
    /// `change` in percent of the mean over the window before; null where that is 0.
    pub change_percent: Option<f64>,
    /// What it should not reach: the threshold of its alert rule, or the disk's capacity; null
    /// where there is none.
    pub threshold: Option<f64>,
    /// Until the line reaches the threshold, milliseconds; 0 when it has. Null without a threshold,
    /// when the direction is flat or leads away, and beyond a year.
    pub time_to_threshold: Option<u64>,
    /// Values whose modified z-score about the line is over 3.5 (Iglewicz and Hoaglin), oldest
    /// first.
    pub outliers: Vec<Outlier>,
}

/// Where each figure of a category is going.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Trends {
    /// The category.
    pub category: Category,
    /// Length of the window, milliseconds.
    pub window: u64,
    /// Length of an interval, milliseconds: gauges are means over it, counters last values.
    pub step: u64,
    /// Where the window begins, exclusive, Unix milliseconds.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub from: Timestamp,
    /// Where it ends, Unix milliseconds.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub to: Timestamp,
    /// By the figure's name in the category.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, Trend>))]
    pub fields: BTreeMap<&'static str, Trend>,
}

/// The intervals of a window that ends at `age_ms` ago: at most [`POINTS_MAX`], and never shorter
/// than the rows are apart, so that all weigh the same.
fn step_ms(window_ms: u64, age_ms: u64) -> u64 {
    let rows = match window_ms.saturating_add(age_ms) <= FINE_MS {
        true => History::FINE_STEP_MS,
        false => History::COARSE_STEP_MS,
    };
    window_ms
        .div_ceil(POINTS_MAX)
        .max(rows)
        .next_multiple_of(History::FINE_STEP_MS)
}

/// `value`, unless it is no number or beyond all.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then(|| super::rounded(value, 6))
}

/// The known values of a column.
fn column(rows: &[Row], index: usize) -> impl Iterator<Item = (u64, f64)> {
    let cells = rows.iter().map(move |row| (row.at, row.cells[index]));
    cells.filter(|(_, cell)| !cell.is_nan())
}

/// Milliseconds until a line at `level` reaches the threshold.
fn time_to(threshold: f64, level: f64, line: &Line) -> Option<u64> {
    if level >= threshold {
        return Some(0);
    }
    if line.course != Course::Rising {
        return None;
    }
    let ms = (threshold - level) / line.slope * HOUR_MS;
    (ms <= SIGHT_MS).then_some(ms as u64)
}

impl Trend {
    /// Of the known values of a window, of the mean of the window before. `slopes` is room to work
    /// in.
    fn new(
        unit: &'static str,
        points: &[(u64, f64)],
        before: Option<f64>,
        threshold: Option<f64>,
        slopes: &mut Vec<f64>,
    ) -> Self {
        let first = points.first().map_or(0, |point| point.0);
        let place = |&(at, value): &(u64, f64)| ((at - first) as f64 / HOUR_MS, value);
        let placed: Vec<(f64, f64)> = points.iter().map(place).collect();
        let line = slope::line(&placed, slopes).filter(|line| line.slope.is_finite());
        let mean = slope::mean(points.iter().map(|point| point.1));
        let change = mean.zip(before).map(|(mean, before)| mean - before);
        let percent = |(change, before): (f64, f64)| change / before.abs() * 100.0;
        let level = |line: &Line| {
            let last = placed.last().map_or(0.0, |point| point.0);
            line.intercept + line.slope * last
        };
        Self {
            unit,
            samples: points.len() as u64,
            mean: mean.and_then(finite),
            slope_per_hour: line.and_then(|line| finite(line.slope)),
            direction: match line.map(|line| line.course) {
                Some(Course::Rising) => Direction::Rising,
                Some(Course::Falling) => Direction::Falling,
                Some(Course::Flat) | None => Direction::Flat,
            },
            change: change.and_then(finite),
            change_percent: change.zip(before).map(percent).and_then(finite),
            threshold: threshold.and_then(finite),
            time_to_threshold: line
                .zip(threshold)
                .and_then(|(line, threshold)| time_to(threshold, level(&line), &line)),
            outliers: line.map_or_else(Vec::new, |line| outliers(points, &placed, &line)),
        }
    }
}

fn outliers(points: &[(u64, f64)], placed: &[(f64, f64)], line: &Line) -> Vec<Outlier> {
    let rest = |(x, y): &(f64, f64)| y - (line.intercept + line.slope * x);
    let rests: Vec<f64> = placed.iter().map(rest).collect();
    let largest = points
        .iter()
        .fold(0.0, |most: f64, point| most.max(point.1.abs()));
    let outlier = |place: usize| Outlier {
        timestamp: Timestamp(points[place].0),
        value: points[place].1,
    };
    let places = slope::outliers(&rests, largest);
    places.into_iter().map(outlier).collect()
}

/// What a figure should not reach, from its rule's threshold or from the machine's last known size.
fn threshold(
    category: Category,
    name: &str,
    rule: impl Fn(AlertName) -> Option<f64>,
    size: impl Fn(&str) -> Option<f64>,
) -> Option<f64> {
    match (category, name) {
        (Category::System, "cpuPercent") => rule(AlertName::HighCpu),
        (Category::System, "memoryUsed") => {
            Some(rule(AlertName::HighMemory)? / 100.0 * size("memoryTotal")?)
        }
        (Category::System, "diskUsed") => size("diskTotal"),
        (Category::Application, "p95Ms") => rule(AlertName::HighResponseTime),
        (Category::Application, "recentErrorRate") => rule(AlertName::HighErrorRate),
        _ => None,
    }
}

impl Monitor {
    /// Shortest window of [`Self::trends`], a minute.
    pub const TREND_WINDOW_MS_MIN: u64 = 60_000;
    /// Longest window of [`Self::trends`], a day: as long as the history.
    pub const TREND_WINDOW_MS_MAX: u64 = 86_400_000;

    /// Where each figure of a category is going, from the history of the last `window_ms`, beside
    /// the window before. The window is cut into at most 240 intervals; cost O(240²) a figure,
    /// at most 28,680 slopes, not under the lock.
    ///
    /// A counter is taken as it stands: its slope is what it grows by in an hour.
    ///
    /// # Errors
    /// [`MonitorError::InvalidWindow`].
    pub fn trends(
        &self,
        now: Timestamp,
        category: Category,
        window_ms: u64,
    ) -> Result<Trends, MonitorError> {
        let (min, max) = (Self::TREND_WINDOW_MS_MIN, Self::TREND_WINDOW_MS_MAX);
        if !(min..=max).contains(&window_ms) {
            return Err(MonitorError::InvalidWindow {
                ms: window_ms,
                min,
                max,
            });
        }
        let step = step_ms(window_ms, 0);
        let begin = now.0.saturating_sub(window_ms);
        let (rows, before, rules) = {
            let state = self.lock();
            let history = |to: u64, step| {
                let from = to.saturating_sub(window_ms).saturating_add(1);
                state.history.range(from, to, Some(step))
            };
            let rows = history(now.0, step);
            let before = history(begin, step_ms(window_ms, window_ms));
            (rows, before, state.alerts.thresholds())
        };
        let rule = |name| rules.iter().find(|(known, _)| *known == name).map(|r| r.1);
        let start = start_of(category as usize);
        let names = category.columns();
        let size = |name: &str| {
            let index = start + names.iter().position(|known| *known == name)?;
            column(&rows, index).last().map(|(_, cell)| cell)
        };
        let mut slopes = Vec::new();
        let mut fields = BTreeMap::new();
        for (index, &name) in (start..COLUMNS).zip(names) {
            let points: Vec<_> = column(&rows, index).collect();
            let mean = slope::mean(column(&before, index).map(|(_, cell)| cell));
            let threshold = threshold(category, name, rule, size);
            let trend = Trend::new(unit::of(name), &points, mean, threshold, &mut slopes);
            fields.insert(name, trend);
        }
        Ok(Trends {
            category,
            window: window_ms,
            step,
            from: Timestamp(begin),
            to: now,
            fields,
        })
    }
}
