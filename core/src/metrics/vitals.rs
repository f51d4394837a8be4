//! Web vitals and custom metrics, reported by browsers.

use serde::{Deserialize, Serialize};

use super::{Histogram, MonitorError, histogram::VALUE_MAX, rounded};

/// Custom names that may be in use.
pub(super) const CUSTOM_MAX: usize = 64;
pub(super) const NAME_BYTES_MAX: usize = 128;
/// What custom names begin with.
pub(super) const CUSTOM: &str = "custom:";
/// Steps of one unit in the histogram: thousandths, so that layout shifts (0.1) resolve too.
const SCALE: f64 = 1000.0;
/// The web vitals with the ends of good and of needs-improvement (<https://web.dev/vitals>):
/// milliseconds, and a plain number for `cls`.
pub(super) const VITALS: [(&str, f64, f64); 5] = [
    ("lcp", 2500.0, 4000.0),
    ("inp", 200.0, 500.0),
    ("cls", 0.1, 0.25),
    ("fcp", 1800.0, 3000.0),
    ("ttfb", 800.0, 1800.0),
];

/// How good a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Rating {
    /// Good.
    Good,
    /// In between.
    NeedsImprovement,
    /// Poor.
    Poor,
}

/// One reported value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WebMetric<'a> {
    /// `lcp`, `inp`, `cls`, `fcp`, `ttfb` in any case, or `custom:` and a name.
    pub name: &'a str,
    /// Milliseconds; a plain number for `cls` and custom metrics. Finite, at least 0.
    pub value: f64,
    /// Its rating; when absent, that of <https://web.dev/vitals>, and none for custom metrics.
    pub rating: Option<Rating>,
}

/// One metric since the start.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VitalMetrics {
    /// The name, lower case for the web vitals.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: Box<str>,
    /// Values.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// The last one.
    pub last: f64,
    /// 75th percentile, which the web vitals are judged by; within 3 % (values up to 3.6 million).
    pub p75: f64,
    /// Values rated good.
    pub good: u64,
    /// Values rated in between.
    pub needs_improvement: u64,
    /// Values rated poor.
    pub poor: u64,
}

#[derive(Debug)]
pub(super) struct Vital {
    pub(super) name: Box<str>,
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) last: f64,
    pub(super) ratings: [u64; 3],
    pub(super) values: Histogram,
}

impl Vital {
    fn new(name: Box<str>) -> Self {
        Self {
            name,
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: 0.0,
            last: 0.0,
            ratings: [0; 3],
            values: Histogram::default(),
        }
    }

    fn add(&mut self, value: f64, rating: Option<Rating>) {
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.last = value;
        if let Some(rating) = rating {
            self.ratings[rating as usize] += 1;
        }
        self.values.record((value * SCALE) as u64);
    }

    fn view(&self) -> VitalMetrics {
        let scaled = self.values.quantile(0.75).unwrap_or(0.0);
        // The last bucket is open: there the largest value is the better guess.
        let p75 = if scaled * 1.02 >= VALUE_MAX as f64 {
            self.max
        } else {
            scaled / SCALE
        };
        let [good, needs_improvement, poor] = self.ratings;
        VitalMetrics {
            name: self.name.clone(),
            count: self.count,
            mean: rounded(self.sum / self.count.max(1) as f64, 3),
            min: self.min,
            max: self.max,
            last: self.last,
            p75: rounded(p75, 3).clamp(self.min, self.max.max(self.min)),
            good,
            needs_improvement,
            poor,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Vitals(pub(super) Vec<Vital>);

impl Vitals {
    /// Heap bytes at most, with what a growing vector allocates ahead.
    pub(super) const BYTES_MAX: usize =
        (VITALS.len() + CUSTOM_MAX) * (2 * size_of::<Vital>() + NAME_BYTES_MAX + Histogram::BYTES);

    pub(super) fn add(&mut self, metric: &WebMetric<'_>) -> Result<(), MonitorError> {
        let (name, rating) = self.check(metric, &[])?;
        self.insert(name, metric.value, rating);
        Ok(())
    }

    /// All of them, or none when one is wrong.
    pub(super) fn add_all(
        &mut self,
        metrics: &[WebMetric<'_>],
    ) -> Result<(), (usize, MonitorError)> {
        let mut new = Vec::new();
        let mut checked = Vec::with_capacity(metrics.len());
        for (index, metric) in metrics.iter().enumerate() {
            let (name, rating) = self.check(metric, &new).map_err(|e| (index, e))?;
            if name.starts_with(CUSTOM) && !self.has(&name) && !new.contains(&metric.name) {
                new.push(metric.name);
            }
            checked.push((name, metric.value, rating));
        }
        for (name, value, rating) in checked {
            self.insert(name, value, rating);
        }
        Ok(())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|vital| &*vital.name == name)
    }

    fn insert(&mut self, name: Box<str>, value: f64, rating: Option<Rating>) {
        match self.0.iter_mut().find(|vital| vital.name == name) {
            Some(vital) => vital.add(value, rating),
            None => {
                let mut vital = Vital::new(name);
                vital.add(value, rating);
                self.0.push(vital);
            }
        }
    }

    /// The name as it is kept, and the rating; `new` are custom names that are about to be used.
    fn check(
        &self,
        metric: &WebMetric<'_>,
        new: &[&str],
    ) -> Result<(Box<str>, Option<Rating>), MonitorError> {
        let name = metric.name;
        if name.len() > NAME_BYTES_MAX {
            let bytes = name.len();
            return Err(MonitorError::MetricNameTooLong {
                bytes,
                max: NAME_BYTES_MAX,
            });
        }
        if !metric.value.is_finite() || metric.value < 0.0 {
            return Err(MonitorError::InvalidMetricValue(name.to_owned()));
        }
        let vital = VITALS
            .iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(name));
        if let Some((known, good, poor)) = vital {
            let judged = match metric.value {
                v if v <= *good => Rating::Good,
                v if v <= *poor => Rating::NeedsImprovement,
                _ => Rating::Poor,
            };
            return Ok(((*known).into(), metric.rating.or(Some(judged))));
        }
        if name.strip_prefix(CUSTOM).is_none_or(str::is_empty) {
            return Err(MonitorError::UnknownMetric(name.to_owned()));
        }
        let custom = self.0.iter().filter(|vital| vital.name.starts_with(CUSTOM));
        let known = self.has(name) || new.contains(&name);
        if !known && custom.count() + new.len() >= CUSTOM_MAX {
            return Err(MonitorError::TooManyMetrics {
                name: name.to_owned(),
                max: CUSTOM_MAX,
            });
        }
        Ok((name.into(), metric.rating))
    }

    pub(super) fn view(&self) -> Vec<VitalMetrics> {
        self.0.iter().map(Vital::view).collect()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let one = |vital: &Vital| vital.name.len() + Histogram::BYTES;
        self.0.capacity() * size_of::<Vital>() + self.0.iter().map(one).sum::<usize>()
    }
}
