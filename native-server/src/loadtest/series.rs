//! What happened in each second of a test.

use std::time::Duration;

use sommos_core::wire::testing::LoadSecond;

use super::stats::Times;

/// Seconds told apart; the last has all that came later.
const SECONDS_MAX: u32 = 600;

/// Closed seconds, and the one that is filled.
pub(super) struct Series {
    closed: Vec<LoadSecond>,
    second: u32,
    over: u64,
    errors: u64,
    times: Times,
}

impl Series {
    pub(super) fn new() -> Self {
        Self {
            closed: Vec::new(),
            second: 0,
            over: 0,
            errors: 0,
            // Drawn, not calculated with.
            times: Times::new(2),
        }
    }

    /// Counts a request that was over `at` after the start.
    pub(super) fn record(&mut self, at: Duration, time: Option<Duration>, failed: bool) {
        self.pass(at);
        self.over += 1;
        self.errors += u64::from(failed);
        if let Some(time) = time {
            self.times.record(time);
        }
    }

    /// Closes all seconds that are over at `at` after the start.
    pub(super) fn pass(&mut self, at: Duration) {
        let second = u32::try_from(at.as_secs()).unwrap_or(SECONDS_MAX);
        while self.second < second.min(SECONDS_MAX - 1) {
            self.close(1.0);
        }
    }

    fn close(&mut self, seconds: f64) {
        let (p50, p99) = (self.times.at(0.5), self.times.at(0.99));
        self.closed.push(LoadSecond {
            second: self.second,
            rate: self.over as f64 / seconds,
            p50,
            p99,
            errors: self.errors,
        });
        self.second += 1;
        (self.over, self.errors) = (0, 0);
        self.times.clear();
    }

    /// Requests a second of the last whole second; of the first one so far before it is over.
    pub(super) fn rate(&self, at: Duration) -> f64 {
        match self.closed.last() {
            Some(last) => last.rate,
            None => self.over as f64 / at.as_secs_f64().max(0.05),
        }
    }

    /// All seconds of a test that took `length`.
    pub(super) fn finish(&mut self, length: Duration) -> Vec<LoadSecond> {
        self.pass(length);
        let rest = length.as_secs_f64() - f64::from(self.second);
        if rest > 0.0 {
            self.close(rest);
        }
        std::mem::take(&mut self.closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_without_an_answer_are_told_and_their_number_is_bounded() {
        let mut series = Series::new();
        let ms = Duration::from_millis;
        for at in [0, 10, 999] {
            series.record(ms(at), Some(ms(at + 1)), at == 10);
        }
        series.record(ms(3500), None, true);
        let seconds = series.finish(ms(4500));
        let rates: Vec<_> = seconds
            .iter()
            .map(|s| (s.second, s.rate, s.errors))
            .collect();
        assert_eq!(
            rates,
            [
                (0, 3.0, 1),
                (1, 0.0, 0),
                (2, 0.0, 0),
                (3, 1.0, 1),
                (4, 0.0, 0)
            ]
        );
        assert!(
            seconds[0]
                .p99
                .is_some_and(|p99| (990.0..=1010.0).contains(&p99))
        );
        assert_eq!((seconds[3].p50, seconds[1].p99), (None, None));

        let mut series = Series::new();
        series.record(Duration::from_secs(100_000), Some(ms(1)), false);
        let seconds = series.finish(Duration::from_secs(100_001));
        assert_eq!(seconds.len(), 600);
        assert_eq!(seconds.last().map(|s| s.second), Some(599));
    }
}
