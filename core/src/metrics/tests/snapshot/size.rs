use super::{answers, lived};
use crate::metrics::{
    CacheFigures, ErrorOrigin, Monitor, MonitorConfig, Route, SystemSample,
    tests::{START, at},
};

/// The same on every platform, and until the version changes.
#[test]
fn the_bytes_are_those_of_version_2() {
    let bytes = lived(30).snapshot();
    assert_eq!(
        (bytes.len(), crc32fast::hash(&bytes)),
        (4_698, 2_255_784_923)
    );
    assert_eq!(bytes, lived(30).snapshot());
}

/// The most that a registry of `routes` busy routes writes: every column changes in every row, every
/// window is full, the durations are spread over all buckets.
fn full(routes: usize) -> Monitor {
    let listed = (0..routes).map(|i| Route::new("GET", &format!("/api/performance/resource/{i}")));
    let config = MonitorConfig {
        routes: listed.collect(),
        ..Default::default()
    };
    let monitor = Monitor::new(START, config).unwrap();
    let mut seed = 1u64;
    let mut random = move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    for i in 0..routes * 2500 {
        // Evenly by magnitude, 32 µs to an hour.
        let us = libm::exp2(5.0 + 26.7 * random() as f64 / 2f64.powi(31)) as u64;
        monitor.record_request(i % routes, [200, 302, 404, 500][i % 4], us, random());
    }
    for slot in 0..=17_280u64 {
        let now = at(slot * 5);
        for _ in 0..40 {
            let us = libm::exp2(7.0 + 13.0 * random() as f64 / 2f64.powi(31)) as u64;
            monitor.record_request(0, 200, us, random());
        }
        monitor.record_db_query(random() as f64 / 1e6);
        monitor.record_ml_prediction("m", random() as f64 / 1e6, Some(random() as f64 / 1e9));
        monitor.record_cache(CacheFigures {
            hits: random(),
            misses: random(),
            size: Some(random()),
            memory: Some(random()),
        });
        let sample = SystemSample {
            cpu_percent: Some(random() as f64 / 3e7),
            memory_used: Some(random()),
            memory_total: Some(1 << 34),
            process_cpu_percent: Some(random() as f64 / 3e7),
            rss: Some(random()),
            threads: Some(random() % 64),
            disk_used: Some(random()),
            disk_total: Some(1 << 40),
            load1: Some(random() as f64 / 1e9),
            uptime_s: Some(slot * 5),
            load5: Some(random() as f64 / 1e9),
            load15: Some(random() as f64 / 1e9),
            disk_read: Some(random() as f64 / 7.0),
            disk_write: Some(random() as f64 / 7.0),
            network_in: Some(random() as f64 / 7.0),
            network_out: Some(random() as f64 / 7.0),
            open_files: Some(random() % 1024),
            heap_used: Some(random()),
            process_read: Some(random() as f64 / 7.0),
            process_write: Some(random() as f64 / 7.0),
        };
        monitor.record_system(now, &sample);
        for second in 0..5 {
            monitor.tick(now.plus_ms(second * 1000));
        }
        monitor.sample(now);
    }
    monitor
}

#[test]
fn a_full_day_takes_less_than_a_row_of_2_mb() {
    let monitor = full(40);
    let now = at(86_404);
    for _ in 0..300 {
        let text = "x".repeat(600);
        monitor.record_error(now, ErrorOrigin::Other, &text, &text, Some(&text));
    }
    let bytes = monitor.snapshot();
    let routes = (0..40).map(|i| Route::new("GET", &format!("/api/performance/resource/{i}")));
    let config = MonitorConfig {
        routes: routes.collect(),
        ..Default::default()
    };
    let restored = Monitor::restore(now, config, &bytes).unwrap();
    assert_eq!(monitor.lock().history.fine.rows.len(), 721);
    assert_eq!(monitor.lock().history.coarse.rows.len(), 1441);
    assert!(bytes.len() < 2_000_000, "{}", bytes.len());
    let (used, most) = (monitor.memory_bytes(), Monitor::memory_bytes_max(40));
    println!(
        "a day of every figure: {used} bytes of {most}, {} as a snapshot",
        bytes.len()
    );
    assert!(used <= most, "{used} {most}");
    let json = |monitor: &Monitor| {
        serde_json::to_string(
            &monitor
                .rows(START, now, None)
                .unwrap()
                .iter()
                .map(|row| (row.at, row.cells.to_vec()))
                .collect::<Vec<_>>(),
        )
        .unwrap()
    };
    assert!(
        !json(&monitor).contains("null"),
        "every figure is known in every row"
    );
    assert_eq!(json(&restored), json(&monitor));
    assert_eq!(answers(&restored, now), answers(&monitor, now));
}
