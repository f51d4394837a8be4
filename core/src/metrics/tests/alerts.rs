use super::{START, at, monitor_with};
use crate::metrics::{
    Alert, AlertEvent, AlertName, AlertState, CacheFigures, Monitor, MonitorConfig, MonitorError,
    Resolution, SystemSample, Thresholds,
};

/// Only this rule: 80, for 20 s, well for 10 s under 72.
fn cpu() -> Monitor {
    only(AlertName::HighCpu, |rule| {
        (rule.for_ms, rule.keep_ms) = (20_000, 10_000);
    })
}

fn only(name: AlertName, change: impl Fn(&mut crate::metrics::AlertRule)) -> Monitor {
    let mut rules = Thresholds::default().rules();
    rules.retain(|rule| rule.name == name);
    rules.iter_mut().for_each(change);
    monitor_with(MonitorConfig {
        rules,
        ..Default::default()
    })
}

/// A sample and an evaluation at `second`.
fn step(monitor: &Monitor, second: u64, cpu_percent: Option<f64>) -> Vec<AlertEvent> {
    monitor.record_system(
        at(second),
        &SystemSample {
            cpu_percent,
            ..Default::default()
        },
    );
    evaluate(monitor, second)
}

fn evaluate(monitor: &Monitor, second: u64) -> Vec<AlertEvent> {
    monitor.tick(at(second));
    monitor.evaluate(at(second), &mut || {
        ((u128::from(second) << 96) | 0xab).to_be_bytes()
    })
}

/// Every five seconds from `second` on; the events of them all.
fn series(monitor: &Monitor, second: u64, values: &[f64]) -> Vec<AlertEvent> {
    let steps = values.iter().zip((second..).step_by(5));
    steps
        .flat_map(|(&value, second)| step(monitor, second, Some(value)))
        .collect()
}

fn state(monitor: &Monitor) -> AlertState {
    monitor.rules()[0].state
}

fn triggered(events: &[AlertEvent]) -> &Alert {
    match events {
        [AlertEvent::Triggered(alert)] => alert,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pending_then_one_alert_then_recovery() {
    let monitor = cpu();
    assert_eq!(series(&monitor, 0, &[80.0, 81.0, 90.0, 90.0, 90.0]), []);
    assert_eq!(state(&monitor), AlertState::Pending);
    let events = series(&monitor, 25, &[91.27]);
    let alert = triggered(&events);
    assert_eq!(
        &*alert.id,
        format!("alert_{}_00000019{}ab", at(25).0, "0".repeat(22))
    );
    assert_eq!(&*alert.message, "The CPU use is 91.27%, over 80%");
    assert_eq!(
        (alert.value, alert.threshold, alert.resolved),
        (91.27, 80.0, false)
    );
    // Open for an hour: never raised anew.
    assert_eq!(series(&monitor, 30, &[95.0; 720]), []);
    assert_eq!(monitor.alerts(), vec![alert.clone()]);
    assert_eq!(monitor.summary(at(3630)).alerts, 1);
    assert_eq!(
        series(&monitor, 3630, &[72.0, 70.0]),
        [],
        "well, but not for long enough"
    );
    let events = series(&monitor, 3640, &[70.0]);
    let [AlertEvent::Resolved(ended)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((&ended.id, ended.resolved_at), (&alert.id, Some(at(3640))));
    assert_eq!(ended.resolution, Some(Resolution::Recovery));
    assert_eq!(
        (monitor.alerts(), state(&monitor)),
        (vec![], AlertState::Inactive)
    );
    assert_eq!(monitor.alert_history(), vec![ended.clone()]);
}

#[test]
fn a_short_peak_raises_nothing() {
    let monitor = cpu();
    for round in 0..20 {
        let events = series(&monitor, round * 25, &[99.0, 99.0, 99.0, 99.0, 80.0]);
        assert_eq!((events, state(&monitor)), (vec![], AlertState::Inactive));
    }
}

#[test]
fn between_threshold_and_hysteresis_an_alert_stays_open() {
    let monitor = cpu();
    assert_eq!(series(&monitor, 0, &[90.0; 6]).len(), 1);
    // Under the threshold but not well; then flapping around the line of recovery.
    assert_eq!(series(&monitor, 30, &[75.0; 100]), []);
    assert_eq!(series(&monitor, 530, &[70.0, 74.0].repeat(50)), []);
    assert_eq!(series(&monitor, 1030, &[95.0, 60.0].repeat(50)), []);
    assert_eq!(
        (monitor.alerts().len(), monitor.alert_history().len()),
        (1, 0)
    );
    assert_eq!(series(&monitor, 1530, &[60.0; 3]).len(), 1);
}

#[test]
fn resolved_by_hand_it_is_silent_until_recovery() {
    let monitor = cpu();
    let events = series(&monitor, 0, &[90.0; 6]);
    let id = triggered(&events).id.clone();
    let resolved = monitor.resolve(at(26), &id).unwrap();
    assert_eq!(
        (resolved.resolved, resolved.resolution),
        (true, Some(Resolution::Manual))
    );
    assert_eq!(
        (monitor.alerts().len(), state(&monitor)),
        (0, AlertState::Silenced)
    );
    assert_eq!(
        monitor.resolve(at(99), &id).unwrap(),
        resolved,
        "again: nothing changes"
    );
    assert_eq!(series(&monitor, 30, &[95.0; 200]), []);
    assert_eq!(
        series(&monitor, 1030, &[50.0; 3]),
        [],
        "its recovery is no event"
    );
    assert_eq!(state(&monitor), AlertState::Inactive);
    let events = series(&monitor, 1045, &[95.0; 5]);
    assert_ne!(triggered(&events).id, id);
    let unknown = monitor.resolve(at(1), "alert_1_00");
    assert_eq!(
        unknown,
        Err(MonitorError::UnknownAlert("alert_1_00".into()))
    );
}

#[test]
fn an_unknown_reading_neither_raises_nor_ends() {
    let monitor = cpu();
    for second in (0..600).step_by(5) {
        assert_eq!(step(&monitor, second, None), []);
    }
    assert_eq!(series(&monitor, 600, &[90.0; 6]).len(), 1);
    // The shell stops sampling: nothing is known of the processor any more.
    for second in (700..2000).step_by(5) {
        assert_eq!(evaluate(&monitor, second), []);
    }
    assert_eq!(
        (state(&monitor), monitor.rules()[0].value),
        (AlertState::Firing, None)
    );
    // Pending does not survive such a gap.
    let monitor = cpu();
    assert_eq!(series(&monitor, 0, &[90.0, 90.0]), []);
    assert_eq!(evaluate(&monitor, 100), []);
    assert_eq!(series(&monitor, 105, &[90.0]), []);
}

#[test]
fn memory_is_judged_in_percent() {
    let monitor = only(AlertName::HighMemory, |rule| rule.for_ms = 0);
    let sample = |used, total| SystemSample {
        memory_used: Some(used),
        memory_total: total,
        ..Default::default()
    };
    monitor.record_system(START, &sample(99, None));
    assert_eq!(evaluate(&monitor, 0), []);
    monitor.record_system(START, &sample(99, Some(0)));
    assert_eq!(evaluate(&monitor, 1), []);
    monitor.record_system(START, &sample(86, Some(100)));
    assert_eq!(triggered(&evaluate(&monitor, 2)).value, 86.0);
}

#[test]
fn slow_and_failing_requests_raise_alerts_and_silence_ends_them() {
    let rules = Thresholds {
        response_time: 100.0,
        ..Default::default()
    }
    .rules();
    let monitor = monitor_with(MonitorConfig {
        rules,
        ..Default::default()
    });
    let names = |events: &[AlertEvent]| -> Vec<AlertName> {
        let name = |event: &AlertEvent| match event {
            AlertEvent::Triggered(alert) | AlertEvent::Resolved(alert) => alert.name,
        };
        events.iter().map(name).collect()
    };
    // One failing request of one is no sign: too few.
    monitor.record_request(0, 500, 900_000, 0);
    for second in 0..60 {
        assert_eq!(evaluate(&monitor, second), []);
    }
    let mut raised = Vec::new();
    for second in 60..200 {
        for i in 0..10 {
            monitor.record_request(0, if i == 0 { 503 } else { 200 }, 150_000, 0);
        }
        raised.extend(evaluate(&monitor, second));
    }
    assert_eq!(
        names(&raised),
        [AlertName::HighResponseTime, AlertName::HighErrorRate]
    );
    let mut ended = Vec::new();
    for second in 200..300 {
        ended.extend(evaluate(&monitor, second));
    }
    assert_eq!(
        names(&ended),
        [AlertName::HighErrorRate, AlertName::HighResponseTime]
    );
}

#[test]
fn a_cache_that_misses_and_slow_queries_raise_alerts() {
    let monitor = monitor_with(MonitorConfig::default());
    let (mut hits, mut misses) = (0, 0);
    let mut raised = Vec::new();
    for second in 0..120 {
        (hits, misses) = (hits + 4, misses + 6);
        monitor.record_cache(CacheFigures {
            hits,
            misses,
            size: None,
            memory: None,
        });
        monitor.record_db_query(1500.0);
        raised.extend(evaluate(&monitor, second));
    }
    let names: Vec<_> = monitor.alerts().iter().map(|alert| alert.name).collect();
    assert_eq!(
        names,
        [AlertName::CacheLowHitRate, AlertName::DatabaseSlowQueries]
    );
    assert_eq!(raised.len(), 2);
    let low = &monitor.alerts()[0];
    assert_eq!(&*low.message, "The cache hit rate is 40%, under 50%");
}

#[test]
fn remembered_alerts_are_bounded() {
    let monitor = cpu();
    for round in 0..300 {
        let values = [[90.0; 5], [10.0; 5]].concat();
        assert_eq!(series(&monitor, round * 50, &values).len(), 2);
    }
    assert_eq!(monitor.alert_history().len(), 256);
    assert!(monitor.memory_bytes() <= Monitor::memory_bytes_max(2));
}
