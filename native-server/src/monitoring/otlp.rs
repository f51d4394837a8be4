//! Sends the registry to a collector of OpenTelemetry, where one is configured.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{families, refresh_cache};
use crate::{app::App, config::Config, push::Push};

/// Longest wait for a collector's answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The collector.
pub(super) struct Collector {
    push: Push,
    interval: Duration,
    pub(super) sent: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl Collector {
    /// None when no address is configured.
    pub(super) fn new(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(endpoint) = &config.otlp.otlp_endpoint else {
            return Ok(None);
        };
        let interval = Duration::from_millis(config.otlp.otlp_interval_ms);
        let url = format!("{}/v1/metrics", endpoint.trim_end_matches('/'));
        let push = Push::new(&url, TIMEOUT.min(interval))
            .map_err(|error| error.context("--otlp-endpoint"))?;
        Ok(Some(Self {
            push,
            interval,
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }))
    }
}

/// Exports for as long as the server runs; ends at once without a collector. An export that failed
/// is not repeated: the next one tells the same sums, and more.
pub async fn export(app: Arc<App>) {
    let Some(collector) = app.monitoring.collector.as_ref() else {
        return;
    };
    let mut ticks = tokio::time::interval(collector.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        let failed = match send(&app, collector).await {
            Ok(()) => {
                collector.sent.fetch_add(1, Relaxed);
                None
            }
            Err(why) => {
                collector.failed.fetch_add(1, Relaxed);
                Some(why)
            }
        };
        // Said once, not every interval.
        match &failed {
            Some(why) if !failing => tracing::warn!(why, "the collector took no metrics"),
            None if failing => tracing::info!("the collector takes metrics again"),
            _ => {}
        }
        failing = failed.is_some();
    }
}

async fn send(app: &App, collector: &Collector) -> Result<(), String> {
    refresh_cache(app);
    let queue = app
        .queue
        .metrics()
        .await
        .map_err(|error| error.to_string())?;
    let instance = app.address.get().map(ToString::to_string);
    let resource = [
        ("service.name", "sommos"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", instance.as_deref().unwrap_or("?")),
    ];
    let registry = &app.monitoring.registry;
    let body = registry.export_otlp(app.now(), &resource, &families(app, &queue));
    match collector.push.post(body, None).await {
        Ok(200..=299) => Ok(()),
        Ok(status) => Err(format!("it answered {status}")),
        Err(error) => Err(error.to_string()),
    }
}
