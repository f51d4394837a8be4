//! This server among those that share its Redis.

use std::{sync::Arc, time::Duration};

use sommos_core::{
    metrics::Instance,
    wire::monitoring::{ALONE, ClusterSummary, Member, Others, cluster},
};
use tokio::time::{MissedTickBehavior, interval};

use super::refresh_cache;
use crate::app::App;

/// Sampling intervals that figures count as those of now.
const FRESH_INTERVALS: u64 = 3;

async fn own(app: &App) -> Instance {
    let address = app.address.get().map(ToString::to_string);
    let jobs = app.queue.own_work().await.ok();
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
        return cluster(app.now(), &own, &Others::default());
    };
    let (members, left_off) = shared.members().await;
    let others = Others {
        members,
        left_off,
        breaker: Some(shared.breaker()),
        queued: shared_queue(app, &own.instance).await,
    };
    cluster(app.now(), &own, &others)
}

/// What waits in the queue that servers share; none that is known of while Redis is away.
async fn shared_queue(app: &App, own: &Instance) -> u64 {
    let Ok(all) = app.queue.metrics().await else {
        return 0;
    };
    let kinds = [&all.jobs, &all.tasks, &all.chunks];
    let queued: u64 = kinds.iter().map(|kind| kind.queued).sum();
    queued.saturating_sub(own.jobs.map_or(0, |jobs| jobs.queued))
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
