use proptest::prelude::*;
use serde_json::json;

use super::{START, at, monitor};
use crate::metrics::{
    CacheFigures, Category, ErrorOrigin, Histogram, Monitor, MonitorConfig, MonitorError, Rating,
    Route, SystemSample, WebMetric,
    histogram::{AtomicHistogram, BUCKETS, bucket_of, middle_of},
};
use crate::time::Timestamp;

/// The nearest-rank quantile of sorted values.
fn naive(sorted: &[u64], q: f64) -> f64 {
    let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
    sorted[rank - 1] as f64
}

/// Durations from a microsecond to an hour, each magnitude alike.
fn durations() -> impl Strategy<Value = Vec<u64>> {
    let value = (0u32..32, any::<u64>()).prop_map(|(bits, random)| {
        ((1u64 << bits) | random & ((1 << bits) - 1)).min(3_600_000_000)
    });
    prop::collection::vec(value, 1..400)
}

proptest! {
    #[test]
    fn quantiles_are_within_three_percent(mut values in durations(), q in 0.0..=1.0f64) {
        let histogram = AtomicHistogram::default();
        values.iter().for_each(|&v| histogram.record(v));
        let mut copy = Histogram::default();
        histogram.add_to(&mut copy);
        values.sort_unstable();
        for q in [q, 0.0, 0.5, 0.95, 0.99, 1.0] {
            let (got, want) = (copy.quantile(q).unwrap(), naive(&values, q));
            prop_assert!((got - want).abs() <= Histogram::ERROR_MAX * want, "{q}: {got} {want}");
        }
    }

    #[test]
    fn merged_is_as_recorded_together(a in durations(), b in durations()) {
        let (mut one, mut two, mut both) =
            (Histogram::default(), Histogram::default(), Histogram::default());
        a.iter().for_each(|&v| { one.record(v); both.record(v); });
        b.iter().for_each(|&v| { two.record(v); both.record(v); });
        one.merge(&two);
        prop_assert_eq!(one, both);
    }

    #[test]
    fn windows_count_what_a_naive_log_counts(
        steps in prop::collection::vec((1u64..9, 0u64..4, 1u64..5_000_000, any::<bool>()), 1..300),
    ) {
        let monitor = monitor();
        let mut log = Vec::new();
        let mut ticks = vec![0];
        let mut now = 0;
        for (pause, requests, us, fails) in steps {
            for _ in 0..requests {
                monitor.record_request(0, if fails { 503 } else { 200 }, us, 1);
                log.push((now, us, fails));
            }
            now += pause;
            monitor.tick(at(now));
            ticks.push(now);
        }
        let windows = monitor.windows(at(now));
        // Each window begins at the youngest copy that is old enough; copies stand a step apart.
        for (stats, length, step) in
            [(windows.minute, 60, 1), (windows.five_minutes, 300, 5), (windows.hour, 3600, 60)]
        {
            let begin = now - stats.span_ms / 1000;
            prop_assert!(ticks.contains(&begin));
            prop_assert!(begin == 0 || (now - begin >= length && now - begin <= length + step + 9));
            let inside: Vec<_> = log.iter().filter(|(t, ..)| *t >= begin).collect();
            prop_assert_eq!(stats.responses, inside.len() as u64);
            prop_assert_eq!(stats.errors, inside.iter().filter(|e| e.2).count() as u64);
            let mut sorted: Vec<u64> = inside.iter().map(|e| e.1).collect();
            sorted.sort_unstable();
            prop_assert_eq!(stats.p95_ms.is_none(), sorted.is_empty());
            if let Some(p95) = stats.p95_ms {
                let want = naive(&sorted, 0.95) / 1000.0;
                prop_assert!((p95 - want).abs() <= Histogram::ERROR_MAX * want + 0.001);
            }
        }
    }
}

#[test]
fn buckets_cover_the_range_without_gaps() {
    let mut last = 0;
    for value in (1..100_000).chain((0..32).flat_map(|b| [(1u64 << b) - 1, 1 << b, (1 << b) + 1])) {
        let bucket = bucket_of(value);
        assert!(bucket < BUCKETS && bucket <= last.max(bucket));
        last = bucket;
        let middle = middle_of(bucket);
        assert!(
            (middle - value.max(1) as f64).abs() <= value.max(1) as f64 / 64.0,
            "{value}"
        );
    }
    assert_eq!(bucket_of(0), bucket_of(1));
    assert_eq!(bucket_of(u64::MAX), bucket_of(3_600_000_000));
}

#[test]
fn requests_from_many_threads_are_all_counted() {
    let monitor = monitor();
    // Threads are the test's: core starts none.
    #[allow(clippy::disallowed_methods)]
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let monitor = &monitor;
            scope.spawn(move || {
                for i in 0..20_000u64 {
                    let _work = monitor.track();
                    let status = [200, 404, 500, 301][(i % 4) as usize];
                    monitor.record_request((thread % 3) as usize, status, 1 + i, 10);
                }
            });
        }
        for second in 1..20 {
            monitor.tick(at(second));
        }
    });
    let sample = monitor.sample(at(30));
    assert_eq!(
        (sample.application.requests, sample.application.responses),
        (80_000, 80_000)
    );
    assert_eq!(
        (sample.application.errors, sample.application.error_rate),
        (20_000, 25.0)
    );
    assert_eq!((sample.api.in_flight, sample.api.bytes_out), (0, 800_000));
    let endpoints = monitor.endpoints();
    assert_eq!(endpoints.iter().map(|e| e.responses).sum::<u64>(), 80_000);
    assert_eq!(&*endpoints[2].route, "other");
}

#[test]
fn a_request_in_flight_counts_until_its_guard_is_dropped() {
    let monitor = monitor();
    let guard = monitor.track();
    assert_eq!(monitor.summary(START).application.in_flight, 1);
    drop(guard);
    assert_eq!(monitor.summary(START).application.in_flight, 0);
    monitor.request_ended();
    assert_eq!(
        monitor.summary(START).application.in_flight,
        0,
        "never negative"
    );
}

#[test]
fn a_clock_set_back_restarts_the_windows() {
    let monitor = monitor();
    monitor.record_request(0, 200, 1000, 0);
    monitor.tick(at(5000));
    monitor.tick(at(4990));
    assert_eq!(
        monitor.windows(at(5000)).hour.responses,
        1,
        "a small step is passed over"
    );
    monitor.tick(at(0));
    monitor.record_request(0, 200, 1000, 0);
    let minute = monitor.windows(at(10)).minute;
    assert_eq!((minute.responses, minute.span_ms), (1, 10_000));
}

#[test]
fn the_summary_has_the_seeds_shape() {
    let monitor = monitor();
    let empty = serde_json::to_value(monitor.summary(START)).unwrap();
    assert_eq!(
        empty["system"],
        json!({"cpu": null, "memory": null, "uptime": null})
    );
    assert_eq!(empty["ml"], json!({"predictions": 0, "accuracy": null}));
    for i in 0..200 {
        monitor.request_started();
        if i < 199 {
            monitor.record_request(0, if i == 7 { 500 } else { 200 }, 125_000, 10);
            monitor.request_ended();
        }
    }
    monitor.record_error(START, ErrorOrigin::Response, "db", "locked", None);
    monitor.record_error(
        START,
        ErrorOrigin::Other,
        "job",
        "failed",
        Some("{\"id\":1}"),
    );
    monitor.record_system(
        START,
        &SystemSample {
            cpu_percent: Some(45.2),
            rss: Some(52_428_800),
            uptime_s: Some(86_400),
            load1: Some(f64::NAN),
            ..SystemSample::default()
        },
    );
    monitor.record_cache(CacheFigures {
        hits: 12_000,
        misses: 3_000,
        size: None,
        memory: None,
    });
    monitor.record_db_query(40.0);
    monitor.record_db_query(2_000.0);
    monitor.record_ml_prediction("cf", 3.0, Some(85.0));
    monitor.record_ml_prediction("cf", 3.0, Some(90.0));
    monitor.record_ml_prediction("other model", 3.0, None);
    let summary = serde_json::to_value(monitor.summary(at(10))).unwrap();
    assert_eq!(summary["timestamp"], json!(START.0 + 10_000));
    assert_eq!(
        summary["system"],
        json!({"cpu": 45.2, "memory": 52_428_800, "uptime": 86_400})
    );
    let app = &summary["application"];
    assert_eq!(
        (&app["requests"], &app["responses"]),
        (&json!(200), &json!(199))
    );
    assert_eq!(
        (&app["errors"], &app["errorRate"]),
        (&json!(2), &json!(1.0))
    );
    assert_eq!(
        (&app["responseTime"], &app["throughput"]),
        (&json!(125.0), &json!(19.9))
    );
    assert_eq!(app["inFlight"], json!(1));
    assert_eq!(
        summary["database"],
        json!({"queries": 2, "queryTime": 1020.0, "slowQueries": 1})
    );
    assert_eq!(
        summary["cache"],
        json!({"hits": 12_000, "misses": 3_000, "hitRate": 80.0})
    );
    assert_eq!(summary["ml"], json!({"predictions": 3, "accuracy": 87.5}));
    assert_eq!(summary["alerts"], json!(0));
}

#[test]
fn each_category_tells_what_it_knows_now() {
    let monitor = monitor();
    monitor.record_request(1, 201, 2_000, 5);
    monitor.record_request(Monitor::OTHER, 404, 1_000, 5);
    monitor.record_ml_prediction("cf", 2.0, None);
    let now = |name: &str| {
        let category: Category = name.parse().unwrap();
        serde_json::to_value(monitor.current(at(1), category)).unwrap()
    };
    assert_eq!(now("api")["clientErrors"], json!(1));
    assert_eq!(now("api")["endpoints"][0]["method"], json!("POST"));
    assert_eq!(now("api")["endpoints"][1]["route"], json!("other"));
    assert_eq!(now("ml")["models"][0]["model"], json!("cf"));
    assert_eq!(now("system")["cpuPercent"], json!(null));
    assert_eq!(now("application")["responses"], json!(2));
    assert_eq!(now("cache")["size"], json!(null));
    assert!("disk".parse::<Category>().is_err());
}

#[test]
fn errors_and_models_are_bounded() {
    let monitor = monitor();
    for i in 0..500 {
        let long = "ü".repeat(1000);
        monitor.record_error(
            at(i),
            ErrorOrigin::Other,
            &format!("type {i}"),
            &long,
            Some(&long),
        );
        monitor.record_ml_prediction(&format!("model {i}"), 1.0, None);
    }
    let report = monitor.errors();
    assert_eq!((report.types.len(), report.recent.len()), (65, 100));
    assert_eq!(
        (&*report.types[64].kind, report.types[64].count),
        ("other", 436)
    );
    assert_eq!(report.recent[99].timestamp, at(499));
    assert_eq!(report.recent[99].message.len(), 512);
    assert!(monitor.memory_bytes() <= Monitor::memory_bytes_max(2));
}

#[test]
fn web_metrics_are_judged_and_bounded() {
    let monitor = monitor();
    let send = |name: &str, value, rating| {
        monitor.record_web_metric(&WebMetric {
            name,
            value,
            rating,
        })
    };
    for value in [0.05, 0.2, 0.3, 0.05] {
        send("CLS", value, None).unwrap();
    }
    send("lcp", 100.0, Some(Rating::Poor)).unwrap();
    let vitals = monitor.web_vitals();
    let cls = &vitals[0];
    assert_eq!((&*cls.name, cls.count, cls.max), ("cls", 4, 0.3));
    assert_eq!((cls.good, cls.needs_improvement, cls.poor), (2, 1, 1));
    assert!((cls.p75 - 0.2).abs() <= 0.03 * 0.2);
    assert_eq!(vitals[1].poor, 1, "the browser's own rating wins");
    for i in 0..64 {
        send(&format!("custom:{i}"), 1e12, None).unwrap();
    }
    assert_eq!(monitor.web_vitals()[2].p75, 1e12);
    let more = send("custom:more", 1.0, None);
    assert!(
        matches!(more, Err(MonitorError::TooManyMetrics { max: 64, .. })),
        "{more:?}"
    );
    send("custom:3", 1.0, None).unwrap();
    for (name, value) in [
        ("fid", 1.0),
        ("custom:", 1.0),
        ("lcp", -1.0),
        ("lcp", f64::NAN),
    ] {
        assert!(send(name, value, None).is_err(), "{name} {value}");
    }
    assert!(send(&"x".repeat(500), 1.0, None).is_err());
    assert!(monitor.memory_bytes() <= Monitor::memory_bytes_max(2));
}

#[test]
fn a_configuration_is_checked() {
    let routes = vec![Route::new("GET", "/"); 513];
    let many = Monitor::new(
        Timestamp(0),
        MonitorConfig {
            routes,
            ..Default::default()
        },
    );
    assert!(matches!(
        many,
        Err(MonitorError::TooManyRoutes {
            count: 513,
            max: 512
        })
    ));
    let mut twice = MonitorConfig::default();
    twice.rules.push(twice.rules[0]);
    assert!(matches!(
        Monitor::new(START, twice),
        Err(MonitorError::DuplicateRule("HIGH_CPU"))
    ));
    let mut wide = MonitorConfig::default();
    wide.rules[0].hysteresis = 90.0;
    assert!(Monitor::new(START, wide).is_err());
}

#[test]
fn routes_can_be_added_later() {
    let mut monitor = monitor();
    monitor.record_request(Monitor::OTHER, 200, 1000, 1);
    let added = monitor.add_route(Route::new("GET", "/late")).unwrap();
    assert_eq!(
        (added, monitor.add_route(Route::new("GET", "/late"))),
        (2, Ok(2))
    );
    monitor.record_request(added, 500, 3000, 7);
    monitor.record_request(Monitor::OTHER, 200, 1000, 1);
    let seen: Vec<_> = monitor
        .endpoints()
        .into_iter()
        .map(|e| (e.route, e.responses, e.errors))
        .collect();
    assert_eq!(seen, [("/late".into(), 1, 1), ("other".into(), 2, 0)]);
    for i in 3..512 {
        let name = format!("/{i}");
        assert_eq!(monitor.add_route(Route::new("GET", &name)), Ok(i));
    }
    assert_eq!(
        monitor.add_route(Route::new("GET", "/more")),
        Err(MonitorError::TooManyRoutes {
            count: 513,
            max: 512
        })
    );
    assert!(monitor.memory_bytes() <= Monitor::memory_bytes_max(512));
}

#[test]
fn a_shorter_retention_keeps_and_holds_less() {
    let short = Monitor::new(
        START,
        MonitorConfig {
            retention_ms: 60_000,
            ..Default::default()
        },
    )
    .unwrap();
    for i in 0..100 {
        short.sample(at(5 * i));
    }
    let kept: Vec<_> = short
        .range(Category::Ml, START, Timestamp::FAR_FUTURE, None)
        .unwrap()
        .into_iter()
        .map(|p| p.timestamp)
        .collect();
    // The last minute began at 435; what of it is before the whole minute is told as a minute.
    assert_eq!(kept, [420, 480, 485, 490, 495].map(at));
    assert!(short.memory_bytes() + 500_000 < monitor().memory_bytes());
    let none = MonitorConfig {
        retention_ms: 1,
        ..Default::default()
    };
    assert!(matches!(
        Monitor::new(START, none),
        Err(MonitorError::InvalidRetention { ms: 1, .. })
    ));
}
