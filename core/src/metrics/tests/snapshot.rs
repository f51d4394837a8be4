mod config;
mod damage;
mod journal;
mod size;

use proptest::prelude::*;

use super::{START, monitor_with};
use crate::{
    metrics::{
        CacheFigures, Category, ErrorOrigin, ExportRange, Monitor, MonitorConfig, Route,
        SnapshotError, SystemSample, Thresholds, WebMetric,
    },
    time::Timestamp,
};

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Back(u64),
    Beat,
    Tick,
    Sample,
    Evaluate,
    Request(usize, u16, u64, u64),
    Host(u8, u16, u64),
    Error(u8, bool, Option<u8>),
    Cache(u64, u64, Option<u64>),
    Lookup(bool),
    Query(f64),
    Predict(u8, f64, Option<f64>),
    Vital(usize, f64),
    System(Option<f64>, Option<u64>),
    Resolve,
}

fn step() -> impl Strategy<Value = Step> {
    let request = (
        0..4usize,
        prop::sample::select(vec![0, 200, 204, 302, 404, 500, 503]),
        prop::sample::select(vec![1, 900, 45_000, 8_000_000, u64::MAX]),
        0..5000u64,
    );
    let cpu = prop::option::of(0.0..100.0f64);
    prop_oneof![
        4 => (0..9000u64).prop_map(Step::Pass),
        1 => (0..8_000_000u64).prop_map(Step::Pass),
        1 => (0..200_000u64).prop_map(Step::Back),
        12 => Just(Step::Beat),
        1 => Just(Step::Tick),
        1 => Just(Step::Sample),
        2 => Just(Step::Evaluate),
        12 => request.prop_map(|(route, status, us, out)| Step::Request(route, status, us, out)),
        3 => (0..200u8, prop::sample::select(vec![200, 404, 500]), 0..9_000_000u64)
            .prop_map(|(route, status, us)| Step::Host(route, status, us)),
        3 => (0..90u8, any::<bool>(), prop::option::of(any::<u8>()))
            .prop_map(|(kind, own, context)| Step::Error(kind, own, context)),
        1 => (0..900u64, any::<u64>(), prop::option::of(any::<u64>()))
            .prop_map(|(hits, misses, size)| Step::Cache(hits, misses, size)),
        2 => any::<bool>().prop_map(Step::Lookup),
        2 => prop::sample::select(vec![0.5, 3000.0, f64::MAX, f64::NAN]).prop_map(Step::Query),
        2 => (0..40u8, 0.0..9.0f64, prop::option::of(0.0..120.0f64))
            .prop_map(|(model, ms, accuracy)| Step::Predict(model, ms, accuracy)),
        2 => (0..5usize, prop::sample::select(vec![0.0, 0.1, 2600.0, f64::MAX]))
            .prop_map(|(name, value)| Step::Vital(name, value)),
        2 => (cpu, prop::option::of(any::<u64>())).prop_map(|(cpu, used)| Step::System(cpu, used)),
        1 => Just(Step::Resolve),
    ]
}

/// Rules that soon alarm and soon recover.
fn config() -> MonitorConfig {
    let mut rules = Thresholds::default().rules();
    for rule in &mut rules {
        (rule.for_ms, rule.keep_ms, rule.min_samples) = (2_000, 3_000, 1);
    }
    MonitorConfig {
        rules,
        ..Default::default()
    }
}

fn evaluate(monitor: &Monitor, now: Timestamp) {
    let seed = u128::from(now.0) << 7;
    let mut count = 0;
    monitor.evaluate(now, &mut || {
        count += 1;
        (seed + count).to_be_bytes()
    });
}

fn apply(monitor: &Monitor, now: &mut Timestamp, step: &Step) {
    match *step {
        Step::Pass(ms) => *now = now.plus_ms(ms),
        Step::Back(ms) => now.0 -= ms,
        Step::Beat => {
            *now = now.plus_ms(1000);
            monitor.tick(*now);
            monitor.sample(*now);
            evaluate(monitor, *now);
        }
        Step::Tick => monitor.tick(*now),
        Step::Sample => drop(monitor.sample(*now)),
        Step::Evaluate => evaluate(monitor, *now),
        Step::Request(route, status, us, out) => {
            let _at_work = monitor.track();
            monitor.record_request(route, status, us, out);
        }
        Step::Host(route, status, us) => {
            monitor.record_host_request("GET", &format!("/api/wines/{route}"), status, us, 5);
        }
        Step::Error(kind, own, context) => {
            let origin = match own {
                true => ErrorOrigin::Other,
                false => ErrorOrigin::Response,
            };
            let context = context.map(|n| "ü".repeat(usize::from(n)));
            let message = "wrong ".repeat(usize::from(kind) * 2);
            monitor.record_error(
                *now,
                origin,
                &format!("E{kind}"),
                &message,
                context.as_deref(),
            );
        }
        Step::Cache(hits, misses, size) => monitor.record_cache(CacheFigures {
            hits,
            misses,
            size,
            memory: size.map(|n| n / 3),
        }),
        Step::Lookup(hit) => monitor.record_cache_lookup(hit),
        Step::Query(ms) => monitor.record_db_query(ms),
        Step::Predict(model, ms, accuracy) => {
            monitor.record_ml_prediction(&format!("m{model}"), ms, accuracy);
        }
        Step::Vital(name, value) => {
            let name = ["LCP", "cls", "inp", "custom:a", "custom:ß"][name];
            let rating = None;
            monitor
                .record_web_metric(&WebMetric {
                    name,
                    value,
                    rating,
                })
                .unwrap();
        }
        Step::System(cpu_percent, memory_used) => monitor.record_system(
            *now,
            &SystemSample {
                cpu_percent,
                memory_used,
                memory_total: memory_used.map(|used| used / 2),
                ..Default::default()
            },
        ),
        Step::Resolve => {
            if let Some(alert) = monitor.alerts().first() {
                monitor.resolve(*now, &alert.id).unwrap();
            }
        }
    }
}

/// Everything that the registry answers.
fn answers(monitor: &Monitor, now: Timestamp) -> Vec<String> {
    let all = ExportRange::default();
    let stepped = ExportRange {
        step_ms: Some(60_000),
        ..all
    };
    let mut answers = vec![
        monitor.export_json(now, &all).unwrap(),
        monitor.export_csv(&all).unwrap(),
        monitor.export_csv(&stepped).unwrap(),
        monitor.export_prometheus(now, &[]),
        format!("{:?}", monitor.summary(now)),
        format!("{:?}", monitor.windows(now)),
        format!("{:?}", monitor.rules()),
        format!("{:?}", monitor.alert_history()),
    ];
    let current = Category::ALL.map(|category| format!("{:?}", monitor.current(now, category)));
    answers.extend(current);
    answers
}

fn same_config(config: &MonitorConfig) -> MonitorConfig {
    let routes = vec![
        Route::new("GET", "/api/performance/cache/get/{key}"),
        Route::new("POST", "/api/performance/cache/set"),
    ];
    MonitorConfig {
        routes,
        ..config.clone()
    }
}

fn restore(now: Timestamp, bytes: &[u8]) -> Result<Monitor, SnapshotError> {
    Monitor::restore(now, same_config(&config()), bytes)
}

/// A registry with something of everything.
fn lived(seconds: u64) -> Monitor {
    let monitor = monitor_with(config());
    let mut now = START;
    for second in 0..seconds {
        let route = second as usize % 3;
        for step in [
            Step::Request(route, 500, 7_000_000 + second * 99_999, 70),
            Step::Error(second as u8 % 5, true, Some(3)),
            Step::Host(second as u8 % 3, 500, 8_000_000),
            Step::Query(2000.0),
            Step::Predict(1, 2.5, Some(90.0)),
            Step::Vital(second as usize % 5, 150.0),
            Step::System(Some(99.0), Some(1 << 30)),
            Step::Lookup(second % 2 == 0),
            Step::Beat,
        ] {
            apply(&monitor, &mut now, &step);
        }
        if second == seconds / 2 {
            apply(&monitor, &mut now, &Step::Resolve);
        }
    }
    monitor
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_restored_registry_goes_on_as_the_original(
        before in prop::collection::vec(step(), 0..250),
        after in prop::collection::vec(step(), 0..120),
    ) {
        let original = monitor_with(config());
        let mut now = START;
        for step in &before {
            apply(&original, &mut now, step);
        }
        if original.lock().rolling.set_back(now) {
            original.tick(now);
        }
        let bytes = original.snapshot();
        let restored = restore(now, &bytes).unwrap();
        prop_assert_eq!(answers(&restored, now), answers(&original, now));
        prop_assert_eq!(restored.snapshot(), bytes);
        let mut later = now;
        for step in &after {
            apply(&original, &mut now, step);
            apply(&restored, &mut later, step);
        }
        prop_assert_eq!(answers(&restored, now), answers(&original, now));
        prop_assert_eq!(restored.snapshot(), original.snapshot());
        prop_assert!(restored.memory_bytes() <= Monitor::memory_bytes_max(2));
    }
}
