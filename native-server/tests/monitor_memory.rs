//! A day of every figure, by what the allocator handed out: the bound that the monitor states holds
//! for the heap, not only for its own count.

use sommos_core::{
    metrics::{CacheFigures, ErrorOrigin, Monitor, MonitorConfig, Rating, SystemSample, WebMetric},
    time::Timestamp,
    wire::monitoring::routes,
};
use sommos_server::allocator::{self, CountingAllocator};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const START: Timestamp = Timestamp(1_700_000_000_000);
const DAY_S: u64 = 86_400;

fn heap() -> u64 {
    allocator::figures().map_or(0, |figures| figures.current_bytes)
}

/// What a second of a busy day brings.
fn second(monitor: &Monitor, second: u64, listed: usize) {
    let now = START.plus_ms(second * 1000);
    let us = 1 << (second % 30);
    monitor.record_request(
        second as usize % listed,
        200 + (second % 4) as u16 * 100,
        us,
        us,
    );
    monitor.record_host_request("GET", &format!("/api/{}", second % 500), 200, us, us);
    monitor.record_db_query(us as f64);
    monitor.record_ml_prediction(&format!("model {}", second % 99), us as f64, Some(50.0));
    monitor.record_cache_lookup(second.is_multiple_of(3));
    let long = "é".repeat(2000);
    let name = format!("{}{}", second % 200, &long[..100]);
    monitor.record_error(now, ErrorOrigin::Other, &name, &long, Some(&long));
    let metric = WebMetric {
        name: &format!("custom:{}", second % 200),
        value: us as f64,
        rating: Some(Rating::Good),
    };
    // Over the bound it is refused: that is what is tested.
    let _ = monitor.record_web_metric(&metric);
    // A copy each second is five times the work and keeps no more of them.
    if second.is_multiple_of(5) {
        monitor.tick(now);
        sample(monitor, now, second);
    }
}

fn sample(monitor: &Monitor, now: Timestamp, second: u64) {
    monitor.record_cache(CacheFigures {
        hits: second,
        misses: second,
        size: Some(second),
        memory: Some(second),
    });
    // Ten minutes over the threshold, ten well: alerts come and go all day.
    let cpu_percent = Some(if second % 1200 < 600 { 99.0 } else { 1.0 });
    monitor.record_system(
        now,
        &SystemSample {
            cpu_percent,
            memory_used: Some(second),
            memory_total: Some(DAY_S),
            rss: Some(second),
            ..Default::default()
        },
    );
    monitor.sample(now);
    monitor.evaluate(now, &mut || u128::from(second).to_be_bytes());
}

#[test]
fn a_day_of_every_figure_stays_within_the_stated_memory() {
    let config = MonitorConfig {
        routes: routes(),
        ..MonitorConfig::default()
    };
    let listed = config.routes.len();
    let before = heap();
    let monitor = Monitor::new(START, config.clone()).expect("the route list is valid");
    let empty = heap() - before;
    for now in 1..=DAY_S {
        second(&monitor, now, listed);
    }
    let used = heap() - before;
    let most = Monitor::memory_bytes_max(listed) as u64;
    let counted = monitor.memory_bytes() as u64;
    let now = START.plus_ms(DAY_S * 1000);
    let snapshot = monitor.snapshot();
    println!(
        "{listed} routes and {} reported: {empty} bytes of heap when empty, {used} after a day; \
         {counted} by its own count, {most} stated; a snapshot of {} bytes",
        Monitor::REPORTED_ROUTES_MAX,
        snapshot.len()
    );
    assert!(used <= most, "{used} bytes of heap, {most} stated");
    assert!(counted <= most, "{counted} bytes counted, {most} stated");
    let restored = Monitor::restore(now, config, &snapshot).expect("what was written is read");
    assert_eq!(restored.snapshot(), snapshot);
    assert_eq!(restored.summary(now), monitor.summary(now));
    assert_eq!(restored.endpoints(), monitor.endpoints());
    let endpoints = monitor.endpoints().len();
    assert_eq!(endpoints, listed + Monitor::REPORTED_ROUTES_MAX + 1);
}
