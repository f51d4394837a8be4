use proptest::prelude::*;

use super::{START, at, monitor};
use crate::metrics::{
    CacheFigures, ErrorOrigin, Figures, Histogram, Instance, InstanceJobs, Monitor, SnapshotError,
    SystemSample,
};

/// Something that happens to an instance: when, how long it took, how it ended.
type Event = (u64, u64, u16);

fn events() -> impl Strategy<Value = Vec<Event>> {
    let status = prop::sample::select(vec![200u16, 204, 404, 500, 503]);
    prop::collection::vec((0u64..50, 1u64..20_000_000, status), 0..200)
}

fn play(monitor: &Monitor, events: &[Event]) {
    let mut sorted = events.to_vec();
    sorted.sort_unstable();
    for second in 0..=50 {
        for &(_, us, status) in sorted.iter().filter(|event| event.0 == second) {
            monitor.request_started();
            monitor.record_request(0, status, us, 10);
            monitor.request_ended();
            monitor.record_db_query(us as f64 / 1000.0);
            monitor.record_cache_lookup(status == 200);
            monitor.record_ml_prediction("m", 1.0, Some(f64::from(status % 100)));
        }
        monitor.tick(at(second));
    }
}

fn instance(monitor: &Monitor) -> Instance {
    Instance {
        address: "127.0.0.1:3000".into(),
        fresh_ms: 15_000,
        jobs: Some(InstanceJobs {
            active: 2,
            queued: 3,
        }),
        figures: monitor.figures(at(50)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The cluster's figures are those of one instance that everything happened to, and its
    /// quantiles those of one histogram fed with everything.
    #[test]
    fn instances_add_up_to_one_that_did_it_all(parts in prop::collection::vec(events(), 1..6)) {
        let whole = monitor();
        let mut all = Vec::new();
        let mut sum = Figures::default();
        for part in &parts {
            let one = monitor();
            play(&one, part);
            let told = Instance::decode(&instance(&one).encode()).unwrap();
            prop_assert_eq!(&told, &instance(&one));
            sum.merge(&told.figures);
            all.extend(part.iter().copied());
        }
        play(&whole, &all);
        let (got, want) = (sum.summary(at(50)), whole.summary(at(50)));
        // Rates are summed before they are rounded, fractions in another order.
        prop_assert!((got.application.throughput - want.application.throughput).abs() < 0.002);
        prop_assert!((got.database.query_time - want.database.query_time).abs() < 0.002);
        let mut got = got;
        got.application.throughput = want.application.throughput;
        got.database.query_time = want.database.query_time;
        let pairs = [
            (&mut got.windows.minute, want.windows.minute),
            (&mut got.windows.five_minutes, want.windows.five_minutes),
            (&mut got.windows.hour, want.windows.hour),
        ];
        for (got, want) in pairs {
            prop_assert!((got.throughput - want.throughput).abs() < 0.002);
            got.throughput = want.throughput;
        }
        prop_assert_eq!(got, want);
        let mut histogram = Histogram::default();
        all.iter().for_each(|event| histogram.record(event.1));
        for q in [0.5, 0.95, 0.99] {
            prop_assert_eq!(sum.windows[0].durations.quantile(q), histogram.quantile(q));
        }
    }

    #[test]
    fn damaged_bytes_are_refused(place in 0usize..400, bit in 0u8..8, length in 0usize..400) {
        let bytes = instance(&monitor()).encode();
        let mut damaged = bytes.clone();
        let place = place % bytes.len();
        damaged[place] ^= 1 << bit;
        prop_assert!(Instance::decode(&damaged).is_err());
        prop_assert!(Instance::decode(&bytes[..length.min(bytes.len() - 1)]).is_err());
    }
}

#[test]
fn the_figures_of_one_give_its_summary() {
    let one = monitor();
    play(&one, &[(1, 1000, 200), (2, 5000, 503), (3, 9000, 200)]);
    one.record_error(START, ErrorOrigin::Other, "E", "broken", None);
    one.record_cache(CacheFigures {
        hits: 10,
        misses: 5,
        size: Some(3),
        memory: None,
    });
    let system = SystemSample {
        cpu_percent: Some(12.5),
        rss: Some(1000),
        uptime_s: Some(7),
        ..SystemSample::default()
    };
    one.record_system(at(50), &system);
    let mut sum = Figures::default();
    sum.merge(&one.figures(at(50)));
    assert_eq!(sum.summary(at(50)), one.summary(at(50)));
    // Of two: the mean of the processors, the sum of memory, the longest time.
    let two = monitor();
    let system = SystemSample {
        cpu_percent: Some(37.5),
        rss: Some(500),
        uptime_s: Some(70),
        ..SystemSample::default()
    };
    two.record_system(at(50), &system);
    sum.merge(&two.figures(at(50)));
    let system = sum.summary(at(50)).system;
    assert_eq!(
        (system.cpu, system.memory, system.uptime),
        (Some(25.0), Some(1500), Some(70))
    );
}

#[test]
fn what_could_run_over_is_refused_and_the_largest_fits() {
    let mut largest = instance(&monitor());
    for window in &mut largest.figures.windows {
        window.durations.counts.fill(1 << 38);
        window.responses = 1 << 48;
    }
    largest.address = "x".repeat(300).into();
    let bytes = largest.encode();
    assert!(bytes.len() <= Instance::BYTES_MAX, "{}", bytes.len());
    let told = Instance::decode(&bytes).unwrap();
    assert_eq!(told.address.len(), 256);
    let mut sum = Figures::default();
    (0..1 << 10).for_each(|_| sum.merge(&told.figures));
    assert_eq!(sum.windows[0].responses, 1 << 58);
    assert!(sum.summary(START).application.p95_ms.is_some());
    largest.figures.requests = (1 << 48) + 1;
    assert!(matches!(
        Instance::decode(&largest.encode()),
        Err(SnapshotError::Malformed { .. })
    ));
    largest.figures.requests = 1;
    largest.figures.query_ms = f64::INFINITY;
    assert!(Instance::decode(&largest.encode()).is_err());
}
