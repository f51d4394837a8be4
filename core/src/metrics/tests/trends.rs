use proptest::prelude::*;

use super::{START, at, monitor, monitor_with};
use crate::metrics::{
    AlertName, Category, Direction, Monitor, MonitorConfig, MonitorError, SystemSample, Thresholds,
    Trend,
    slope::{self, Course},
    unit,
};

/// The middle of sorted values, as in a textbook.
fn naive_median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => sorted[half - 1] / 2.0 + sorted[half] / 2.0,
        _ => sorted[half],
    }
}

/// Slope, intercept and course by their definitions, pair by pair.
fn naive_line(points: &[(f64, f64)]) -> (f64, f64, Course) {
    let n = points.len();
    let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (points[i], points[j])));
    let pairs: Vec<_> = pairs.collect();
    let slopes: Vec<f64> = pairs
        .iter()
        .map(|(a, b)| (b.1 - a.1) / (b.0 - a.0))
        .collect();
    let slope = naive_median(&slopes);
    let rests: Vec<f64> = points.iter().map(|p| p.1 - slope * p.0).collect();
    let rising = pairs.iter().filter(|(a, b)| b.1 > a.1).count() as f64;
    let falling = pairs.iter().filter(|(a, b)| b.1 < a.1).count() as f64;
    // Each value's group of equals gives its share of the correction.
    let share = |p: &(f64, f64)| {
        let t = points.iter().filter(|q| q.1 == p.1).count() as f64;
        (t - 1.0) * (2.0 * t + 5.0)
    };
    let all = n as f64;
    let variance =
        (all * (all - 1.0) * (2.0 * all + 5.0) - points.iter().map(share).sum::<f64>()) / 18.0;
    let z = ((rising - falling).abs() - 1.0) / variance.sqrt();
    let course = match z > 1.96 {
        true if rising > falling => Course::Rising,
        true => Course::Falling,
        false => Course::Flat,
    };
    (slope, naive_median(&rests), course)
}

/// Iglewicz and Hoaglin's score of each value, by its definition.
fn naive_outliers(values: &[f64]) -> Vec<usize> {
    let middle = naive_median(values);
    let deviations: Vec<f64> = values.iter().map(|v| (v - middle).abs()).collect();
    let median = naive_median(&deviations);
    let mean = deviations.iter().sum::<f64>() / deviations.len() as f64;
    let score = |d: &f64| match median > 0.0 {
        true => 0.6745 * d / median,
        false => d * 0.797_884_6 / mean,
    };
    let far = |(_, d): &(usize, &f64)| score(d) > 3.5;
    deviations
        .iter()
        .enumerate()
        .filter(far)
        .map(|(i, _)| i)
        .collect()
}

/// A series with ties, of growing x.
fn series() -> impl Strategy<Value = Vec<(f64, f64)>> {
    let value = prop_oneof![(-5i32..5).prop_map(f64::from), -1e6..1e6f64];
    prop::collection::vec((1u32..100, value), 2..60).prop_map(|steps| {
        let mut x = 0.0;
        let mut place = |(dx, y)| {
            x += f64::from(dx);
            (x, y)
        };
        steps.into_iter().map(&mut place).collect()
    })
}

proptest! {
    #[test]
    fn a_line_is_that_of_its_naive_twin(points in series()) {
        let line = slope::line(&points, &mut Vec::new()).unwrap();
        prop_assert_eq!((line.slope, line.intercept, line.course), naive_line(&points));
    }

    #[test]
    fn outliers_are_those_of_their_naive_twin(values in prop::collection::vec(-1000i32..1000, 5..80)) {
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        prop_assert_eq!(slope::outliers(&values, 1000.0), naive_outliers(&values));
    }

    #[test]
    fn a_line_scales_with_its_values(points in series(), scale in 0.01..100.0f64, shift in -1e3..1e3f64) {
        let moved: Vec<_> = points.iter().map(|(x, y)| (*x, y * scale + shift)).collect();
        let (one, other) = (slope::line(&points, &mut Vec::new()).unwrap(), slope::line(&moved, &mut Vec::new()).unwrap());
        let size = points.iter().map(|p| p.1.abs()).fold(1.0, f64::max) * scale + shift.abs();
        prop_assert!((other.slope - one.slope * scale).abs() <= 1e-9 * size);
    }

    #[test]
    fn a_quarter_of_wild_values_bends_no_line(
        slope in -50.0..50.0f64,
        start in -1e3..1e3f64,
        wild in prop::collection::vec((0usize..40, -1e9..1e9f64), 0..10),
    ) {
        let mut points: Vec<_> = (0..40).map(|i| (f64::from(i), start + slope * f64::from(i))).collect();
        for (place, value) in wild {
            points[place].1 = value;
        }
        let line = slope::line(&points, &mut Vec::new()).unwrap();
        prop_assert!((line.slope - slope).abs() < 1e-6, "{line:?}");
        prop_assert!((line.intercept - start).abs() < 1e-4, "{line:?}");
    }
}

#[test]
fn too_few_values_tell_nothing() {
    let line = |values: &[f64]| {
        let points: Vec<_> = (0u8..).map(f64::from).zip(values.iter().copied()).collect();
        slope::line(&points, &mut Vec::new())
    };
    assert_eq!(line(&[]), None);
    assert_eq!(line(&[1.0]), None);
    assert_eq!(line(&[1.0, 2.0, 3.0, 4.0]).unwrap().course, Course::Flat);
    assert_eq!(
        line(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap().course,
        Course::Rising
    );
    assert_eq!(
        line(&[5.0, 4.0, 3.0, 2.0, 1.0]).unwrap().course,
        Course::Falling
    );
    assert_eq!(line(&[7.0; 50]).unwrap().course, Course::Flat);
    assert!(slope::outliers(&[0.0, 0.0, 0.0, 9.0], 9.0).is_empty());
    assert_eq!(
        slope::outliers(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0], 9.0),
        [6]
    );
    assert!(slope::outliers(&[3.0; 20], 3.0).is_empty());
    // What is left of a straight line by rounding is no spike.
    assert!(slope::outliers(&[0.0, 0.0, 1e-10, 0.0, 0.0, 0.0], 1e3).is_empty());
}

const GB: u64 = 1 << 30;

/// A sample every five seconds from `from` to `to`.
fn sampled(monitor: &Monitor, from: u64, to: u64, sample: impl Fn(u64) -> SystemSample) {
    for second in (from..=to).step_by(5) {
        monitor.record_system(at(second), &sample(second));
        monitor.sample(at(second));
    }
}

fn system(monitor: &Monitor, second: u64, window_s: u64, name: &str) -> Trend {
    let trends = monitor.trends(at(second), Category::System, window_s * 1000);
    trends.unwrap().fields.remove(name).unwrap()
}

#[test]
fn growing_memory_says_when_it_is_full() {
    let monitor = monitor();
    // 10 GB, 2 GB an hour more; 85 % of 20 GB are 17 GB. Once a minute a spike.
    let used = |second: u64| {
        let spike = if second % 600 == 300 { 4 * GB } else { 0 };
        10 * GB + second * 2 * GB / 3600 + spike
    };
    let sample = |second| SystemSample {
        memory_used: Some(used(second)),
        memory_total: Some(20 * GB),
        ..Default::default()
    };
    sampled(&monitor, 0, 7200, sample);
    let memory = system(&monitor, 7200, 3600, "memoryUsed");
    let gb = |value: f64| value / GB as f64;
    assert_eq!(memory.unit, "bytes");
    assert_eq!(memory.direction, Direction::Rising);
    assert!((239..=241).contains(&memory.samples), "{}", memory.samples);
    let slope = gb(memory.slope_per_hour.unwrap());
    assert!((slope - 2.0).abs() < 0.01, "{slope}");
    assert!((gb(memory.threshold.unwrap()) - 17.0).abs() < 1e-6);
    // At 14 GB: 3 GB more take an hour and a half.
    let hours = memory.time_to_threshold.unwrap() as f64 / 3.6e6;
    assert!((hours - 1.5).abs() < 0.02, "{hours}");
    let change = gb(memory.change.unwrap());
    assert!((change - 2.0).abs() < 0.05, "{change}");
    let percent = memory.change_percent.unwrap();
    assert!((percent - 100.0 * 2.0 / 11.0).abs() < 1.0, "{percent}");
    assert_eq!(memory.outliers.len(), 6);
    let places = memory.outliers.iter().map(|outlier| outlier.timestamp);
    let spikes = (0..6).map(|i| at(3900 + i * 600));
    assert!(places.eq(spikes), "{:?}", memory.outliers);
    // The same bits each time, and after a restart.
    let trends = |monitor: &Monitor| {
        let trends = Category::ALL.map(|category| monitor.trends(at(7200), category, 3_600_000));
        serde_json::to_string(&trends.map(Result::unwrap)).unwrap()
    };
    let first = trends(&monitor);
    assert_eq!(trends(&monitor), first);
    let restored =
        Monitor::restore(at(7200), MonitorConfig::default(), &monitor.snapshot()).unwrap();
    assert_eq!(trends(&restored), first);
}

#[test]
fn what_is_flat_falls_or_has_no_threshold_has_no_time() {
    let monitor = monitor();
    let sample = |second: u64| SystemSample {
        cpu_percent: Some(40.0 + (second * 7 % 11) as f64),
        disk_used: Some(900 * GB - second * GB / 100),
        disk_total: Some(1000 * GB),
        rss: Some(GB + second * 1000),
        threads: Some(8),
        ..Default::default()
    };
    sampled(&monitor, 5, 1800, sample);
    let trend = |name| system(&monitor, 1800, 1800, name);
    let cpu = trend("cpuPercent");
    assert_eq!(
        (cpu.direction, cpu.time_to_threshold),
        (Direction::Flat, None)
    );
    assert_eq!(cpu.threshold, Some(80.0));
    let disk = trend("diskUsed");
    assert_eq!(
        (disk.direction, disk.time_to_threshold),
        (Direction::Falling, None)
    );
    assert_eq!(disk.threshold, Some(1000.0 * GB as f64));
    let rss = trend("rss");
    assert_eq!(
        (rss.direction, rss.threshold, rss.time_to_threshold),
        (Direction::Rising, None, None)
    );
    assert!((rss.slope_per_hour.unwrap() - 3_600_000.0).abs() < 1.0);
    let threads = trend("threads");
    assert_eq!(
        (threads.slope_per_hour, threads.mean),
        (Some(0.0), Some(8.0))
    );
    // Nothing before: no change to tell. Nothing measured: nothing at all.
    assert_eq!((threads.change, threads.change_percent), (None, None));
    let load = trend("load1");
    assert_eq!(
        (load.samples, load.mean, load.slope_per_hour),
        (0, None, None)
    );
    assert!(load.outliers.is_empty());
}

#[test]
fn a_threshold_is_reached_or_beyond_sight() {
    let monitor = monitor();
    let sample = |second: u64| SystemSample {
        cpu_percent: Some(95.0),
        disk_used: Some(500 * GB + second),
        disk_total: Some(1000 * GB),
        ..Default::default()
    };
    sampled(&monitor, 0, 600, sample);
    assert_eq!(
        system(&monitor, 600, 600, "cpuPercent").time_to_threshold,
        Some(0)
    );
    let disk = system(&monitor, 600, 600, "diskUsed");
    // A byte a second fills half a terabyte in 17,000 years.
    assert_eq!(
        (disk.direction, disk.time_to_threshold),
        (Direction::Rising, None)
    );
}

#[test]
fn a_disabled_rule_has_no_threshold() {
    let mut rules = Thresholds::default().rules();
    for rule in &mut rules {
        rule.enabled = rule.name != AlertName::HighCpu;
    }
    let monitor = monitor_with(MonitorConfig {
        rules,
        ..Default::default()
    });
    let cpu = Some(95.0);
    let sample = |_| SystemSample {
        cpu_percent: cpu,
        ..Default::default()
    };
    sampled(&monitor, 0, 60, sample);
    assert_eq!(system(&monitor, 60, 60, "cpuPercent").threshold, None);
}

#[test]
fn counters_grow_by_so_much_an_hour() {
    let monitor = monitor();
    for second in (0..=3600).step_by(5) {
        for _ in 0..10 {
            monitor.record_request(0, 200, 1_000, 1);
        }
        monitor.tick(at(second));
        monitor.sample(at(second));
    }
    let trends = monitor
        .trends(at(3600), Category::Application, 1_800_000)
        .unwrap();
    let responses = &trends.fields["responses"];
    assert_eq!(responses.unit, "count");
    let slope = responses.slope_per_hour.unwrap();
    assert!((slope - 7200.0).abs() < 1.0, "{slope}");
    assert!((responses.change.unwrap() - 3600.0).abs() < 20.0);
    assert_eq!(trends.fields["p95Ms"].threshold, Some(5000.0));
    assert_eq!(trends.fields["recentErrorRate"].threshold, Some(5.0));
    assert_eq!(trends.fields["throughput"].direction, Direction::Flat);
}

#[test]
fn a_day_has_few_intervals_and_a_wrong_window_is_refused() {
    let monitor = monitor();
    let sample = |second: u64| SystemSample {
        cpu_percent: Some((second % 97) as f64),
        ..Default::default()
    };
    sampled(&monitor, 0, 86_400, sample);
    for window_s in [60, 61, 600, 3600, 3601, 7200, 40_000, 86_400] {
        let trends = monitor
            .trends(at(86_400), Category::System, window_s * 1000)
            .unwrap();
        let samples = trends.fields["cpuPercent"].samples;
        assert!((3..=241).contains(&samples), "{window_s}: {samples}");
        assert_eq!(trends.to.0 - trends.from.0, window_s * 1000);
    }
    for ms in [0, 59_999, 86_400_001, u64::MAX] {
        let error = monitor.trends(at(9), Category::Ml, ms).unwrap_err();
        let (min, max) = (60_000, 86_400_000);
        assert_eq!(error, MonitorError::InvalidWindow { ms, min, max });
    }
}

#[test]
fn every_figure_has_a_unit() {
    for category in Category::ALL {
        for name in category.columns() {
            assert!(unit::find(name).is_some(), "{}.{name}", category.as_str());
        }
    }
    assert!(monitor().trends(START, Category::Api, 60_000).is_ok());
}
