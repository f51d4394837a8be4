//! The registry against simulated load, time and faults.

mod alerts;
mod delivery;
mod exports;
mod figures;
mod history;
mod host;
mod recording;
mod rules;
mod snapshot;
mod trends;

use super::{Monitor, MonitorConfig, Route};
use crate::time::Timestamp;

const START: Timestamp = Timestamp(1_642_248_600_000);

/// A registry of two routes.
fn monitor() -> Monitor {
    monitor_with(MonitorConfig::default())
}

fn monitor_with(config: MonitorConfig) -> Monitor {
    let routes = vec![
        Route::new("GET", "/api/performance/cache/get/{key}"),
        Route::new("POST", "/api/performance/cache/set"),
    ];
    Monitor::new(START, MonitorConfig { routes, ..config }).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    START.plus_ms(seconds * 1000)
}
