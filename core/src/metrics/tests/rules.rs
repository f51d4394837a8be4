use proptest::prelude::*;

use super::{START, at, monitor_with};
use crate::metrics::{
    AlertEvent, AlertName, AlertState, Monitor, MonitorConfig, MonitorError, RuleSettings,
    Severity, SystemSample, Thresholds,
};

fn settings(json: &str) -> Result<Vec<crate::metrics::AlertRule>, MonitorError> {
    Thresholds::default().rules_with(&RuleSettings::parse(json.as_bytes())?)
}

#[test]
fn settings_change_what_they_name() {
    let rules = settings(
        r#"[{"type": "HIGH_CPU", "threshold": 90, "clear": 70, "forMs": 1000, "keepMs": 2000,
             "severity": "critical", "minSamples": 3},
            {"type": "HIGH_MEMORY", "threshold": 50},
            {"type": "CACHE_LOW_HIT_RATE", "clear": 75},
            {"type": "HIGH_ERROR_RATE", "enabled": false}]"#,
    )
    .unwrap();
    let [cpu, memory, response_time, errors, cache, queries] = rules[..] else {
        panic!("{rules:?}")
    };
    assert_eq!(
        (cpu.threshold, cpu.clear(), cpu.for_ms, cpu.keep_ms),
        (90.0, 70.0, 1000, 2000)
    );
    assert_eq!(
        (cpu.severity, cpu.min_samples, cpu.enabled),
        (Severity::Critical, 3, true)
    );
    // A tenth of its own threshold, not of the default's.
    assert_eq!((memory.threshold, memory.clear()), (50.0, 45.0));
    assert_eq!((cache.threshold, cache.clear()), (50.0, 75.0));
    assert!(!errors.enabled);
    let defaults = Thresholds::default().rules();
    assert_eq!((response_time, queries), (defaults[2], defaults[5]));
    assert_eq!(settings("[]").unwrap(), defaults);
    let monitor = monitor_with(MonitorConfig {
        rules,
        ..Default::default()
    });
    assert_eq!(monitor.rules()[3].state, AlertState::Disabled);
}

#[test]
fn wrong_settings_say_what_would_be_right() {
    let error = |json: &str| settings(json).unwrap_err().to_string();
    for (json, words) in [
        ("{}", "alert rules: "),
        ("[] []", "alert rules: trailing characters"),
        (
            r#"[{"type": "HIGH_NOISE"}]"#,
            "[0].type: unknown variant `HIGH_NOISE`",
        ),
        (
            r#"[{"type": "HIGH_CPU", "limit": 3}]"#,
            "[0].limit: unknown field `limit`",
        ),
        (r#"[{"threshold": 3}]"#, "missing field `type`"),
        (r#"[{"type": "HIGH_CPU", "forMs": -1}]"#, "[0].forMs"),
        (
            r#"[{"type": "HIGH_CPU", "severity": "bad"}]"#,
            "[0].severity: unknown variant `bad`",
        ),
        (
            r#"[{"type": "HIGH_CPU", "threshold": -5}]"#,
            "alert rule HIGH_CPU: threshold must be a finite number of at least 0",
        ),
        (
            r#"[{"type": "HIGH_CPU", "threshold": 50, "clear": 60}]"#,
            "alert rule HIGH_CPU: clear must be at most the threshold",
        ),
        (
            r#"[{"type": "CACHE_LOW_HIT_RATE", "clear": 40}]"#,
            "alert rule CACHE_LOW_HIT_RATE: clear must be at least the threshold",
        ),
        (
            r#"[{"type": "HIGH_CPU", "clear": -1}]"#,
            "alert rule HIGH_CPU: clear must be a finite number of at least 0",
        ),
        (
            r#"[{"type": "HIGH_CPU"}, {"type": "HIGH_CPU"}]"#,
            "alert rule HIGH_CPU is given twice; give each name once",
        ),
    ] {
        let said = error(json);
        assert!(said.contains(words), "{json}: {said}");
    }
    assert!(settings(r#"[{"type": "HIGH_CPU", "threshold": 1e999}]"#).is_err());
}

#[test]
fn settings_survive_their_own_json() {
    let read = RuleSettings::parse(br#"[{"type": "HIGH_CPU", "clear": 60.5}]"#).unwrap();
    let written = serde_json::to_vec(&read).unwrap();
    assert_eq!(RuleSettings::parse(&written).unwrap(), read);
    // Rules of before `enabled` are enabled.
    let rule = r#"{"name": "HIGH_CPU", "threshold": 80, "forMs": 0, "keepMs": 0, "hysteresis": 8,
                   "severity": "warning", "minSamples": 1}"#;
    assert!(
        serde_json::from_str::<crate::metrics::AlertRule>(rule)
            .unwrap()
            .enabled
    );
}

fn cpu(monitor: &Monitor, second: u64, cpu_percent: Option<f64>) -> Vec<AlertEvent> {
    let sample = SystemSample {
        cpu_percent,
        ..Default::default()
    };
    monitor.record_system(at(second), &sample);
    monitor.tick(at(second));
    monitor.evaluate(at(second), &mut || u128::from(second).to_be_bytes())
}

#[test]
fn a_disabled_rule_raises_nothing_and_drops_what_was_open() {
    let enabled = |enabled| {
        let setting = format!(r#"[{{"type": "HIGH_CPU", "forMs": 0, "enabled": {enabled}}}]"#);
        MonitorConfig {
            rules: settings(&setting).unwrap(),
            ..Default::default()
        }
    };
    let monitor = monitor_with(enabled(false));
    for second in (0..600).step_by(5) {
        assert_eq!(cpu(&monitor, second, Some(99.0)), []);
    }
    let monitor = monitor_with(enabled(true));
    assert_eq!(cpu(&monitor, 0, Some(99.0)).len(), 1);
    let restored = Monitor::restore(at(5), enabled(false), &monitor.snapshot()).unwrap();
    assert_eq!(
        (restored.alerts(), restored.summary(at(5)).alerts),
        (vec![], 0)
    );
    assert_eq!(cpu(&restored, 10, Some(99.0)), []);
}

/// Requests of `ms` milliseconds at 20 a second, sampled every five seconds.
fn traffic(monitor: &Monitor, from: u64, to: u64, ms: u64) -> Vec<AlertEvent> {
    let mut events = Vec::new();
    for second in from..to {
        for _ in 0..20 {
            monitor.record_request(0, 200, ms * 1000, 0);
        }
        monitor.tick(at(second));
        if second % 5 == 0 {
            let id = || u128::from(second).to_be_bytes();
            events.extend(monitor.evaluate(at(second), &mut { id }));
        }
    }
    events
}

#[test]
fn an_overload_holds_one_alert_open_until_it_recovered() {
    let monitor = monitor_with(MonitorConfig::default());
    assert_eq!(traffic(&monitor, 0, 120, 20), []);
    // An hour of answers after six seconds: 720 evaluations, one alert.
    let events = traffic(&monitor, 120, 3720, 6_000);
    let [AlertEvent::Triggered(alert)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (alert.name, alert.unit),
        (AlertName::HighResponseTime, "ms")
    );
    assert_eq!(monitor.alerts(), vec![alert.clone()]);
    // The window of a minute forgets, then it must stay well for half a minute.
    let events = traffic(&monitor, 3720, 3900, 20);
    let [AlertEvent::Resolved(ended)] = &events[..] else {
        panic!("{events:?}")
    };
    let after = ended.resolved_at.unwrap().0 - at(3720).0;
    assert!((30_000..=120_000).contains(&after), "{after}");
    assert_eq!((&ended.id, monitor.alerts()), (&alert.id, vec![]));
}

#[test]
fn a_flapping_series_raises_one_alert() {
    let monitor = monitor_with(MonitorConfig {
        rules: settings(r#"[{"type": "HIGH_CPU", "forMs": 20000, "keepMs": 30000}]"#).unwrap(),
        ..Default::default()
    });
    let mut events = Vec::new();
    // Half a minute over, ten seconds well, for two hours.
    for second in (0..7200).step_by(5) {
        let value = if second % 40 < 30 { 95.0 } else { 30.0 };
        events.extend(cpu(&monitor, second, Some(value)));
    }
    assert!(
        matches!(events[..], [AlertEvent::Triggered(_)]),
        "{events:?}"
    );
    // Flapping faster than the rule's time raises none.
    let monitor = monitor_with(MonitorConfig::default());
    for second in (0..7200).step_by(5) {
        let value = if second % 20 < 15 { 95.0 } else { 75.0 };
        assert_eq!(cpu(&monitor, second, Some(value)), []);
    }
}

#[test]
fn resolved_by_hand_it_stays_silent_over_a_restart() {
    let monitor = monitor_with(MonitorConfig::default());
    let mut second = 0;
    while monitor.alerts().is_empty() {
        second += 5;
        cpu(&monitor, second, Some(97.0));
    }
    let id = monitor.alerts()[0].id.clone();
    monitor.resolve(at(second), &id).unwrap();
    let monitor =
        Monitor::restore(at(second), MonitorConfig::default(), &monitor.snapshot()).unwrap();
    for second in (second + 5..second + 3600).step_by(5) {
        assert_eq!(cpu(&monitor, second, Some(97.0)), []);
        assert_eq!(monitor.rules()[0].state, AlertState::Silenced);
    }
    assert_eq!(monitor.resolve(at(9999), &id).unwrap().id, id);
    // Recovered, and over again: a new one.
    for step in (3600..3700).step_by(5) {
        assert_eq!(cpu(&monitor, second + step, Some(10.0)), []);
    }
    let again = (3700..3800).step_by(5);
    let events: Vec<_> = again
        .flat_map(|step| cpu(&monitor, second + step, Some(97.0)))
        .collect();
    assert_eq!(events.len(), 1, "{events:?}");
}

#[derive(Debug, Clone)]
enum Step {
    Read(Option<f64>),
    Pass(u64),
    Back(u64),
    Resolve,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![
        Just(95.0),
        Just(79.0),
        Just(75.0),
        Just(10.0),
        0.0..100.0f64
    ];
    let step = prop_oneof![
        20 => prop::option::weighted(0.95, value).prop_map(Step::Read),
        2 => (0..90_000u64).prop_map(Step::Pass),
        1 => (0..90_000u64).prop_map(Step::Back),
        1 => Just(Step::Resolve),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn at_most_one_alert_a_rule_is_open(steps in steps(), for_ms in 0..30_000u64, keep_ms in 0..30_000u64) {
        let json = format!(r#"[{{"type": "HIGH_CPU", "forMs": {for_ms}, "keepMs": {keep_ms}}}]"#);
        let config = MonitorConfig { rules: settings(&json).unwrap(), ..Default::default() };
        let mut monitor = Monitor::new(START, config.clone()).unwrap();
        let (mut now, mut raised, mut ended, mut entropy) = (at(1000), 0usize, 0usize, 0u128);
        for step in steps {
            match step {
                Step::Pass(ms) => now = now.plus_ms(ms),
                Step::Back(ms) => now.0 -= ms,
                Step::Restart => {
                    monitor = Monitor::restore(now, config.clone(), &monitor.snapshot()).unwrap();
                }
                Step::Resolve => {
                    for alert in monitor.alerts() {
                        prop_assert!(monitor.resolve(now, &alert.id).unwrap().resolved);
                        ended += 1;
                    }
                }
                Step::Read(cpu_percent) => {
                    now = now.plus_ms(5_000);
                    let sample = SystemSample { cpu_percent, ..Default::default() };
                    monitor.record_system(now, &sample);
                    let mut id = || { entropy += 1; entropy.to_be_bytes() };
                    for event in monitor.evaluate(now, &mut id) {
                        match event {
                            AlertEvent::Triggered(alert) => {
                                prop_assert!(!alert.resolved && alert.value > 80.0);
                                raised += 1;
                            }
                            AlertEvent::Resolved(alert) => {
                                prop_assert!(alert.resolved && alert.resolved_at.is_some());
                                ended += 1;
                            }
                        }
                    }
                }
            }
            let open = monitor.alerts();
            prop_assert!(open.len() <= 1, "{open:?}");
            prop_assert_eq!(raised, ended + open.len());
            prop_assert_eq!(monitor.alert_history().len(), ended.min(Monitor::ALERT_HISTORY_MAX));
            let firing = monitor.rules()[0].state == AlertState::Firing;
            prop_assert_eq!(firing, !open.is_empty());
        }
    }
}
