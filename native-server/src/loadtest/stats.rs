//! What the requests of a test come to.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use sommos_core::wire::testing::{LatencyPoint, LoadErrors, ResponseTimes};

use super::{
    client::{Answer, Failure},
    series::Series,
};

/// Longest time told apart, microseconds: a test and a timeout at their longest.
const MICROS_MAX: u64 = 1_200_000_000;
/// Points of a curve while the distance to 100 % is halved once; 31 halvings and the ends stay
/// below [`CURVE_MAX`].
const CURVE_TICKS: u32 = 6;
/// Points of a curve.
const CURVE_MAX: usize = 200;
/// Longest reason that is kept, characters.
const REASON_CHARS: usize = 200;

/// A histogram of microseconds.
pub(super) struct Times(Option<Histogram<u64>>);

impl Times {
    /// With so many significant digits: 3 are 0.1 % wide and take 0.3 MB.
    pub(super) fn new(digits: u8) -> Self {
        Self(Histogram::new_with_bounds(1, MICROS_MAX, digits).ok())
    }

    pub(super) fn record(&mut self, time: Duration) {
        if let Some(times) = &mut self.0 {
            let micros = u64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(MICROS_MAX);
            times.saturating_record(micros.max(1));
        }
    }

    pub(super) fn clear(&mut self) {
        if let Some(times) = &mut self.0
            && !times.is_empty()
        {
            times.reset();
        }
    }

    fn filled(&self) -> Option<&Histogram<u64>> {
        self.0.as_ref().filter(|times| !times.is_empty())
    }

    /// The time, milliseconds, that this share took no longer than; none: nothing was recorded.
    pub(super) fn at(&self, quantile: f64) -> Option<f64> {
        let times = self.filled()?;
        Some(ms(times.value_at_quantile(quantile).min(times.max())))
    }

    /// None when nothing was recorded.
    pub(super) fn summary(&self) -> Option<ResponseTimes> {
        let times = self.filled()?;
        Some(ResponseTimes {
            min: ms(times.min()),
            mean: times.mean() / 1e3,
            max: ms(times.max()),
            p50: self.at(0.5)?,
            p90: self.at(0.9)?,
            p95: self.at(0.95)?,
            p99: self.at(0.99)?,
            p999: self.at(0.999)?,
        })
    }

    /// Both axes grow; empty when nothing was recorded.
    pub(super) fn curve(&self) -> Vec<LatencyPoint> {
        let Some(times) = self.filled() else {
            return Vec::new();
        };
        let mut curve: Vec<LatencyPoint> = Vec::new();
        for step in times.iter_quantiles(CURVE_TICKS).take(CURVE_MAX - 1) {
            curve.push(LatencyPoint {
                percentile: step.quantile_iterated_to() * 100.0,
                latency: ms(step.value_iterated_to().min(times.max())),
            });
        }
        if curve.last().is_some_and(|last| last.percentile < 100.0) {
            curve.push(LatencyPoint {
                percentile: 100.0,
                latency: ms(times.max()),
            });
        }
        curve
    }
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// The figures of a test.
pub(super) struct Stats {
    pub(super) successful: u64,
    pub(super) failed: u64,
    pub(super) bytes_received: u64,
    pub(super) statuses: BTreeMap<u16, u64>,
    pub(super) errors: LoadErrors,
    pub(super) reasons: BTreeMap<&'static str, String>,
    /// From when a request was due.
    pub(super) response: Times,
    /// From when it was sent.
    pub(super) service: Times,
    pub(super) series: Series,
}

impl Stats {
    pub(super) fn new() -> Self {
        Self {
            successful: 0,
            failed: 0,
            bytes_received: 0,
            statuses: BTreeMap::new(),
            errors: LoadErrors::default(),
            reasons: BTreeMap::new(),
            response: Times::new(3),
            service: Times::new(3),
            series: Series::new(),
        }
    }

    /// Requests that are over.
    pub(super) fn over(&self) -> u64 {
        self.successful + self.failed
    }

    /// Counts a request that was over `at` after the start.
    pub(super) fn record(
        &mut self,
        at: Duration,
        outcome: &Result<Answer, Failure>,
        response: Duration,
        service: Duration,
    ) {
        let good = matches!(outcome, Ok(answer) if answer.status < 400);
        if good {
            self.successful += 1;
        } else {
            self.failed += 1;
        }
        match outcome {
            Ok(answer) => {
                *self.statuses.entry(answer.status).or_default() += 1;
                self.bytes_received += answer.body_bytes;
            }
            Err(failure) => self.fail(failure),
        }
        // A timeout is a time too, the least that it took: without it an overloaded server would
        // look faster than it is.
        let timed = matches!(
            outcome,
            Ok(_) | Err(Failure::Timeout | Failure::Redirect(_))
        );
        self.series.record(at, timed.then_some(response), !good);
        if timed {
            self.response.record(response);
            self.service.record(service);
        }
    }

    fn fail(&mut self, failure: &Failure) {
        let errors = &mut self.errors;
        let (kind, count) = match failure {
            Failure::Connect(_) => ("connect", &mut errors.connect),
            Failure::Timeout => ("timeout", &mut errors.timeout),
            Failure::Closed => ("closed", &mut errors.closed),
            Failure::Protocol(_) => ("protocol", &mut errors.protocol),
            Failure::Redirect(_) => ("redirect", &mut errors.redirect),
        };
        *count += 1;
        if *count > 1 {
            return;
        }
        let reason = match failure {
            Failure::Connect(kind) => kind.to_string(),
            Failure::Timeout => "no whole answer within the time limit of a request".to_owned(),
            Failure::Closed => {
                "the server closed the connection before the whole answer".to_owned()
            }
            Failure::Protocol(why) => (*why).to_owned(),
            Failure::Redirect(to) => format!("not followed to another origin: {to}"),
        };
        let reason = reason.chars().take(REASON_CHARS).collect();
        self.reasons.insert(kind, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The histogram beside the sorted list of the same times.
    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let mut rng = sommos_core::rng::Rng::new(7);
        for count in [1, 2, 10, 1000, 20_000] {
            let mut times = Times::new(3);
            let mut sorted: Vec<u64> = (0..count)
                .map(|_| 1 + (rng.next_u64() % 1000).pow(2) * (1 + rng.next_u64() % 50))
                .collect();
            for &micros in &sorted {
                times.record(Duration::from_micros(micros));
            }
            sorted.sort_unstable();
            let near = |got: f64, wanted: f64| (got - wanted).abs() <= wanted * 0.001 + 0.001;
            for quantile in [0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
                let rank = ((quantile * f64::from(count)).ceil() as usize).max(1);
                let wanted = sorted[rank - 1] as f64 / 1e3;
                let got = times.at(quantile).unwrap();
                assert!(near(got, wanted), "{count} {quantile}: {got} {wanted}");
            }
            let summary = times.summary().unwrap();
            let mean = sorted.iter().sum::<u64>() as f64 / sorted.len() as f64 / 1e3;
            assert!(near(summary.mean, mean) && near(summary.min, sorted[0] as f64 / 1e3));
            let curve = times.curve();
            assert!(!curve.is_empty() && curve.len() <= 200, "{}", curve.len());
            assert!(
                curve.is_sorted_by(|a, b| a.percentile <= b.percentile && a.latency <= b.latency)
            );
            let last = curve.last().unwrap();
            assert_eq!(last.percentile, 100.0);
            assert!(near(last.latency, sorted[sorted.len() - 1] as f64 / 1e3));
            for point in curve {
                let rank = ((point.percentile / 100.0 * f64::from(count)).ceil() as usize).max(1);
                let wanted = sorted[rank - 1] as f64 / 1e3;
                assert!(
                    point.latency >= wanted * 0.999 - 0.001,
                    "{point:?} {wanted}"
                );
            }
        }
    }
}
