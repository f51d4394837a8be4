//! Metrics as every export sees them: families of series, with unit and type.

use std::borrow::Cow;

use super::traffic::{BOUNDARIES_US, ClassCounts};

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows; its name should end in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Values counted by buckets.
    Histogram,
}

/// Values counted by buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets {
    /// Upper ends, ascending, in the family's unit; what is larger counts in one bucket more.
    pub bounds: &'static [f64],
    /// How many values each bucket holds, one more than there are bounds. Not cumulative.
    pub counts: Vec<u64>,
    /// The sum of all values, in the family's unit.
    pub sum: f64,
}

/// What a series is at.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram.
    Buckets(Buckets),
}

/// The labels of a series, each by name and value.
pub type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// One series of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSeries<'a> {
    /// What tells it from the family's others.
    pub labels: Labels<'a>,
    /// Its value now.
    pub value: MetricValue,
}

/// A metric with all its series.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricFamily<'a> {
    /// Its name with its unit, such as `cache_memory_usage_bytes`; characters that an export does
    /// not allow become `_`.
    pub name: Cow<'a, str>,
    /// What it is, in a sentence.
    pub help: Cow<'a, str>,
    /// Its unit in UCUM, as OpenTelemetry writes it: `s`, `By`, `1`, `{request}`.
    pub unit: &'static str,
    /// Its type.
    pub kind: MetricKind,
    /// Its series; a family without any is left out.
    pub series: Vec<MetricSeries<'a>>,
}

impl<'a> MetricFamily<'a> {
    /// A family without a series yet.
    #[must_use]
    pub fn new(kind: MetricKind, name: &'a str, unit: &'static str, help: &'a str) -> Self {
        Self {
            name: name.into(),
            help: help.into(),
            unit,
            kind,
            series: Vec::new(),
        }
    }

    /// A counter of one series.
    #[must_use]
    pub fn counter(name: &'a str, unit: &'static str, help: &'a str, value: f64) -> Self {
        Self::new(MetricKind::Counter, name, unit, help).with(Vec::new(), value)
    }

    /// A gauge of one series, or of none while its value is unknown.
    #[must_use]
    pub fn gauge(name: &'a str, unit: &'static str, help: &'a str, value: Option<f64>) -> Self {
        let family = Self::new(MetricKind::Gauge, name, unit, help);
        match value {
            Some(value) => family.with(Vec::new(), value),
            None => family,
        }
    }

    /// The same with one series more.
    #[must_use]
    pub fn with(mut self, labels: Labels<'a>, value: f64) -> Self {
        self.push(labels, MetricValue::Number(value));
        self
    }

    /// Adds a series.
    pub fn push(&mut self, labels: Labels<'a>, value: MetricValue) {
        self.series.push(MetricSeries { labels, value });
    }
}

/// The bounds of the requests' durations, seconds.
const DURATION_BOUNDS_S: [f64; BOUNDARIES_US.len()] = {
    let mut bounds = [0.0; BOUNDARIES_US.len()];
    let mut i = 0;
    while i < bounds.len() {
        bounds[i] = BOUNDARIES_US[i] as f64 / 1e6;
        i += 1;
    }
    bounds
};

impl Buckets {
    /// The durations of one route and status class.
    pub(super) fn of_requests(counts: &ClassCounts) -> Self {
        Self {
            bounds: &DURATION_BOUNDS_S,
            counts: counts.buckets.into(),
            sum: counts.sum_us as f64 / 1e6,
        }
    }

    /// Values in all buckets.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}
