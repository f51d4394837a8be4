//! This server among those that share its Redis.

use std::{sync::Arc, time::Duration};

use sommos_core::{
    metrics::{Instance, InstanceJobs},
    wire::monitoring::{ALONE, ClusterSummary, Member, cluster},
};
use tokio::time::{MissedTickBehavior, interval};

use super::refresh_cache;
use crate::app::App;

/// Sampling intervals that figures count as those of now.
const FRESH_INTERVALS: u64 = 3;

async fn own(app: &App) -> Instance {
    let address = app.address.get().map(ToString::to_string);
    let jobs = app.queue.metrics().await.ok().map(|queue| {
        let kinds = [&queue.jobs, &queue.tasks, &queue.chunks];
        InstanceJobs {
            active: kinds.iter().map(|kind| kind.active).sum(),
            queued: kinds.iter().map(|kind| kind.queued).sum(),
        }
    });
    Instance {
        address: address.unwrap_or_default().into(),
        fresh_ms: app
            .config
            .monitoring_interval_ms
            .saturating_mul(FRESH_INTERVALS),
        jobs,
        figures: app.monitoring.registry.figures(app.now()),
    }
}

/// The answer of GET /monitoring/summary?scope=cluster: this server as it is, and the others as
/// they told last. Never fails because Redis does.
pub async fn cluster_summary(app: &App) -> ClusterSummary {
    let named = app.config.redis.node_id.as_deref();
    let shared = app.shared.as_deref();
    let own = Member {
        node_id: shared.map_or(named.unwrap_or(ALONE), |s| s.node()).into(),
        instance: own(app).await,
        age_ms: 0,
    };
    let Some(shared) = shared else {
        return cluster(app.now(), &own, &[], 0, None);
    };
    let (members, left_off) = shared.members().await;
    cluster(app.now(), &own, &members, left_off, Some(shared.breaker()))
}

/// Tells the other servers what this one counted, each sampling interval, for as long as it runs.
pub async fn tell(app: Arc<App>) {
    let Some(shared) = &app.shared else {
        return;
    };
    let mut ticks = interval(Duration::from_millis(app.config.monitoring_interval_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        refresh_cache(&app);
        // While Redis is away, nobody can be told; the breaker is shown.
        if let Err(error) = shared.tell(&own(&app).await).await {
            tracing::debug!(%error, "the others were not told");
        }
    }
}
