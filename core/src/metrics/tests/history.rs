use proptest::prelude::*;

use super::{START, at, monitor};
use crate::metrics::{
    CacheFigures, Category, CategoryData, ErrorOrigin, Monitor, MonitorError, SystemSample,
    WebMetric, category::COLUMNS, history::History,
};
use crate::time::Timestamp;

/// Keeps every sample; the first column is a gauge, the one of `requests` a counter.
#[derive(Default)]
struct Naive(Vec<(u64, f64, f64)>);

const GAUGE: usize = 0;
/// After the columns of the system.
const COUNTER: usize = 20;

impl Naive {
    /// Mean of the known gauges and the last counter of the samples in `from..to`.
    fn fold(&self, from: u64, to: u64) -> (Option<f64>, f64) {
        let inside: Vec<_> = self
            .0
            .iter()
            .filter(|(t, ..)| (from..to).contains(t))
            .collect();
        let known: Vec<f64> = inside.iter().map(|s| s.1).filter(|v| !v.is_nan()).collect();
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        (
            (!known.is_empty()).then_some(mean),
            inside.last().unwrap().2,
        )
    }
}

fn close(a: f64, b: Option<f64>) -> bool {
    b.map_or(a.is_nan(), |b| (a - b).abs() < 1e-9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn rows_are_the_means_of_a_naive_log(
        pauses in prop::collection::vec((150u64..10_000).prop_map(|half| half * 2), 1..1500),
        step in prop::option::of(5_000u64..200_000),
    ) {
        let (mut history, mut naive) = (History::new(86_400_000), Naive::default());
        // Times are odd: a row at a full minute is one of a minute.
        let mut now = START.0 + 1;
        for (i, pause) in pauses.iter().enumerate() {
            let gauge = if pause % 7 == 0 { f64::NAN } else { *pause as f64 };
            let mut cells = [f64::NAN; COLUMNS];
            (cells[GAUGE], cells[COUNTER]) = (gauge, i as f64);
            history.push(Timestamp(now), cells);
            naive.0.push((now, gauge, i as f64));
            now += pause;
        }
        let last = naive.0.last().unwrap().0;
        let rows = history.range(0, u64::MAX, None);
        // Ordered, and every sample of the day is in exactly one row.
        prop_assert!(rows.windows(2).all(|pair| pair[0].at < pair[1].at));
        prop_assert_eq!(rows[0].at / 60_000, START.0 / 60_000);
        prop_assert_eq!(rows.last().unwrap().at, last);
        let mut seen = 0;
        for row in &rows {
            let width = if row.at % 60_000 == 0 { 60_000 } else { 5_000 };
            let from = row.at / width * width;
            let (mean, counter) = naive.fold(from, from + width);
            prop_assert!(close(row.cells[GAUGE], mean), "{} {mean:?}", row.cells[GAUGE]);
            prop_assert_eq!(row.cells[COUNTER], counter);
            seen += naive.0.iter().filter(|(t, ..)| (from..from + width).contains(t)).count();
        }
        prop_assert_eq!(seen, naive.0.len());
        // Minutes only where five-second rows are over an hour old.
        let minutes = rows.iter().filter(|row| row.at % 60_000 == 0);
        prop_assert!(minutes.clone().all(|row| row.at < last.saturating_sub(3_600_000) + 5_000));
        if let Some(step) = step {
            let mut want: Vec<u64> = rows.iter().map(|row| row.at / step * step).collect();
            want.dedup();
            let stepped = history.range(0, u64::MAX, Some(step));
            prop_assert_eq!(stepped.iter().map(|row| row.at).collect::<Vec<_>>(), want);
            for row in &stepped {
                let inside = rows.iter().filter(|r| r.at / step * step == row.at);
                let known: Vec<f64> =
                    inside.map(|r| r.cells[GAUGE]).filter(|v| !v.is_nan()).collect();
                let mean = known.iter().sum::<f64>() / known.len() as f64;
                prop_assert!(close(row.cells[GAUGE], (!known.is_empty()).then_some(mean)));
            }
        }
    }
}

#[test]
fn a_day_and_a_half_stays_within_the_bound() {
    let monitor = monitor();
    let before = monitor.memory_bytes();
    for second in 1..=(36 * 3600) {
        monitor.tick(at(second));
        if second % 5 == 0 {
            let cpu_percent = Some((second % 100) as f64);
            monitor.record_system(
                at(second),
                &SystemSample {
                    cpu_percent,
                    ..Default::default()
                },
            );
            let figures = CacheFigures {
                hits: second,
                misses: second,
                size: Some(1),
                memory: Some(2),
            };
            monitor.record_cache(figures);
            monitor.record_request((second % 3) as usize, 200, second, 1);
            let text = "x".repeat(2000);
            monitor.record_error(
                at(second),
                ErrorOrigin::Other,
                &text[..99],
                &text,
                Some(&text),
            );
            let name = format!("custom:{}", second % 100);
            let _ = monitor.record_web_metric(&WebMetric {
                name: &name,
                value: 1.0,
                rating: None,
            });
            monitor.sample(at(second));
            monitor.evaluate(at(second), &mut || [1; 16]);
        }
    }
    let after = monitor.memory_bytes();
    let max = Monitor::memory_bytes_max(2);
    assert!(before < after && after <= max, "{before} {after} {max}");
    assert!(max < 4 << 20, "{max}");
    let end = 36 * 3600;
    let all = monitor
        .range(Category::System, START, at(end), None)
        .unwrap();
    assert_eq!(all.len(), 1440 - 60 + 721);
    assert_eq!(all.last().unwrap().timestamp, at(end));
    assert!(all[0].timestamp >= at(12 * 3600) && all[0].timestamp < at(12 * 3600 + 120));
    let part = monitor
        .range(Category::Cache, at(end - 60), at(end - 5), None)
        .unwrap();
    assert_eq!(part.len(), 12);
    let CategoryData::Cache(cache) = part[11].data else {
        panic!("{:?}", part[11])
    };
    assert_eq!(
        (cache.hits, cache.hit_rate, cache.memory),
        (end - 5, 50.0, Some(2))
    );
    let hours = monitor
        .range(Category::System, START, at(end), Some(3_600_000))
        .unwrap();
    assert_eq!(hours.len(), 25);
}

#[test]
fn a_clock_set_back_drops_the_future() {
    let monitor = monitor();
    for second in (0..100).step_by(5).chain((20..40).step_by(5)) {
        monitor.sample(at(second));
    }
    let points = monitor
        .range(Category::Ml, Timestamp::ZERO, Timestamp::FAR_FUTURE, None)
        .unwrap();
    assert_eq!(points.len(), 8);
    assert!(
        points
            .windows(2)
            .all(|pair| pair[0].timestamp < pair[1].timestamp)
    );
}

#[test]
fn nonsense_ranges_are_refused() {
    let monitor = monitor();
    let range = |from, to, step| monitor.range(Category::Api, at(from), at(to), step);
    assert!(matches!(
        range(2, 1, None),
        Err(MonitorError::InvalidRange { .. })
    ));
    assert!(matches!(
        range(1, 2, Some(0)),
        Err(MonitorError::InvalidStep)
    ));
    assert_eq!(range(1, 2, None).unwrap(), []);
}
