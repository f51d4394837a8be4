use super::{config, lived, restore, same_config};
use crate::{
    metrics::{
        AlertState, Monitor, MonitorConfig, MonitorError, Route, SnapshotError,
        tests::{START, at, monitor, monitor_with},
    },
    time::Timestamp,
};

#[test]
fn other_routes_keep_the_totals() {
    let monitor = monitor();
    for (route, count) in [(0, 5), (1, 7), (Monitor::OTHER, 2)] {
        for _ in 0..count {
            monitor.record_request(route, 200, 2_000, 10);
        }
    }
    monitor.tick(at(1));
    let routes = vec![
        Route::new("GET", "/new"),
        Route::new("POST", "/api/performance/cache/set"),
    ];
    let config = MonitorConfig {
        routes,
        ..Default::default()
    };
    let restored = Monitor::restore(at(2), config, &monitor.snapshot()).unwrap();
    let endpoints = restored.endpoints();
    let counted = endpoints
        .iter()
        .map(|e| (&*e.method, &*e.route, e.responses));
    let expected = [
        ("POST", "/api/performance/cache/set", 7),
        ("_OTHER", "other", 7),
    ];
    assert_eq!(counted.collect::<Vec<_>>(), expected);
    assert_eq!(restored.summary(at(2)), monitor.summary(at(2)));
    restored.record_request(0, 200, 1_000, 1);
    assert_eq!(restored.endpoints()[0].route, "/new".into());
    assert_eq!(restored.windows(at(2)).minute.responses, 15);
}

#[test]
fn alerts_follow_the_rules_of_the_configuration() {
    let monitor = lived(20);
    let open = monitor.alerts();
    assert!(open.len() >= 3, "{open:?}");
    assert_eq!(monitor.alert_history().len(), 1);
    let gone = open[0].name;
    let mut config = same_config(&config());
    config.rules.retain(|rule| rule.name != gone);
    config.rules.reverse();
    let restored = Monitor::restore(at(20), config, &monitor.snapshot()).unwrap();
    assert_eq!(restored.alert_history(), monitor.alert_history());
    let mut kept = restored.alerts();
    kept.reverse();
    assert_eq!(kept, open[1..]);
    let silenced = |monitor: &Monitor| {
        let rules = monitor.rules();
        rules.iter().any(|rule| rule.state == AlertState::Silenced)
    };
    assert!(silenced(&monitor) && silenced(&restored));
}

#[test]
fn a_refused_configuration_is_named() {
    let config = MonitorConfig {
        retention_ms: 1,
        ..Default::default()
    };
    let error = Monitor::restore(START, config, &monitor().snapshot()).unwrap_err();
    assert!(matches!(
        error,
        SnapshotError::Config(MonitorError::InvalidRetention { ms: 1, .. })
    ));
}

#[test]
fn a_shorter_history_keeps_the_youngest_rows() {
    let monitor = lived(900);
    let config = MonitorConfig {
        retention_ms: 120_000,
        ..config()
    };
    let restored = Monitor::restore(at(900), same_config(&config), &monitor.snapshot()).unwrap();
    // What a registry of that length would hold.
    let rows = |monitor: &Monitor| {
        let rows = monitor.rows(Timestamp::ZERO, Timestamp::FAR_FUTURE, None);
        rows.unwrap().iter().map(|row| row.at).collect::<Vec<_>>()
    };
    let short = monitor_with(config);
    for second in 1..=900 {
        short.sample(at(second));
    }
    assert_eq!(rows(&restored), rows(&short));
    assert!(restored.memory_bytes() <= Monitor::memory_bytes_max(2));
}

#[test]
fn requests_at_work_end_with_the_process() {
    let monitor = monitor();
    let at_work = monitor.track();
    monitor.request_started();
    let restored = restore(START, &monitor.snapshot()).unwrap();
    assert_eq!(monitor.summary(START).application.in_flight, 2);
    let application = restored.summary(START).application;
    assert_eq!((application.in_flight, application.requests), (0, 2));
    drop(at_work);
}

#[test]
fn windows_begin_anew_where_the_clock_was_set_back() {
    let monitor = lived(100);
    let bytes = monitor.snapshot();
    let near = restore(at(50), &bytes).unwrap();
    assert_eq!(near.windows(at(100)), monitor.windows(at(100)));
    let far = restore(at(30), &bytes).unwrap();
    assert_eq!(far.windows(at(31)).minute.responses, 0);
    assert_eq!(far.windows(at(31)).minute.span_ms, 1000);
    // Time that passed in between is covered, as after any pause.
    let late = restore(at(8000), &bytes).unwrap();
    assert_eq!(late.windows(at(8000)), monitor.windows(at(8000)));
}
