//! The life of a server: bind, warm, sample, serve, drain.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::Router;
use tokio::net::TcpListener;

use crate::{
    app::{App, Parts},
    config::Config,
    connections, http, warming,
};

/// Expired entries that one clean-up removes from each shard: bounds the time of a lock.
const CLEANUP_MAX: usize = 1000;
/// Milliseconds between the steps in which cold values are packed.
const PACK_STEP_MS: u64 = 1000;

/// The router of a server with these parts, for embedding and for tests without a network.
///
/// # Errors
/// When the configuration is wrong or the data directory cannot be used.
pub fn build_app(config: Config, parts: Parts) -> anyhow::Result<(Arc<App>, Router)> {
    let app = App::open(config, parts)?;
    let router = http::router(Arc::clone(&app));
    Ok((app, router))
}

/// A server that listens.
pub struct Server {
    /// Its parts.
    pub app: Arc<App>,
    /// Its address, with the port that the system chose for port 0.
    pub address: SocketAddr,
    listener: TcpListener,
}

impl Server {
    /// Opens everything and binds the address.
    ///
    /// # Errors
    /// When a part cannot be opened or the address is taken.
    pub async fn bind(config: Config, parts: Parts) -> anyhow::Result<Self> {
        let listen = config.listen;
        let app = App::open(config, parts)?;
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!("cannot listen on {listen}: is another server running there? (--listen)")
        })?;
        let address = listener.local_addr()?;
        // Only a second bind of the same app could have set it before.
        let _ = app.address.set(address);
        Ok(Self {
            app,
            address,
            listener,
        })
    }

    /// Serves until `stop` resolves, then drains.
    ///
    /// # Errors
    /// None today; a listener that fails for a while is tried again.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let Self { app, listener, .. } = self;
        warm(&app);
        app.queue.start().await;
        let background = [
            tokio::spawn(clean_up(Arc::clone(&app))),
            tokio::spawn(pack_cold_values(Arc::clone(&app))),
            tokio::spawn(crate::monitoring::sample(Arc::clone(&app))),
            tokio::spawn(crate::monitoring::deliver(Arc::clone(&app))),
            tokio::spawn(crate::monitoring::export(Arc::clone(&app))),
            tokio::spawn(crate::handlers::dispatch(Arc::clone(&app))),
            tokio::spawn(share(Arc::clone(&app))),
            tokio::spawn(crate::monitoring::tell(Arc::clone(&app))),
        ];
        if let Some(shared) = &app.shared {
            // So that the first requests find what is shared.
            shared.tried().await;
        }
        let (drained, mut is_drained) = tokio::sync::watch::channel(false);
        let drain = {
            let app = Arc::clone(&app);
            async move {
                stop.await;
                tracing::info!("draining");
                app.drain().await;
                let closing = Arc::clone(&app);
                let close = move || closing.monitoring.close(closing.now());
                if let Err(error) = tokio::task::spawn_blocking(close).await {
                    tracing::error!(%error, "monitoring did not end well");
                }
                drained.send_replace(true);
            }
        };
        let grace = Duration::from_millis(app.config.grace_ms);
        let leaving = Arc::clone(&app);
        tokio::select! {
            () = connections::serve(listener, Arc::clone(&app), drain) => {}
            // A client that keeps its connection open must not keep the server.
            () = async {
                app.ended().await;
                tokio::time::sleep(grace).await;
                // Closed without a value: the drain ended with the connections.
                let _ = is_drained.wait_for(|drained| *drained).await;
            } => {}
        }
        background.iter().for_each(tokio::task::JoinHandle::abort);
        if let Some(shared) = &leaving.shared {
            shared.leave().await;
        }
        Ok(())
    }
}

fn warm(app: &Arc<App>) {
    let Some(path) = app.config.cache_warm_file.clone() else {
        return;
    };
    let app = Arc::clone(app);
    // Not awaited: a cold answer is better than none.
    tokio::task::spawn_blocking(move || match warming::from_file(&app, &path, None, None) {
        Ok(warmed) => tracing::info!(warmed.warmed, warmed.missing, "cache warmed"),
        Err(error) => tracing::warn!(%error, "cache not warmed"),
    });
}

/// Keeps the connection to Redis, if there is one to keep.
async fn share(app: Arc<App>) {
    if let Some(shared) = &app.shared {
        Arc::clone(shared).run().await;
    }
}

async fn clean_up(app: Arc<App>) {
    let mut interval =
        tokio::time::interval(Duration::from_millis(app.config.cache_cleanup_interval_ms));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        while app.cache.cleanup(app.now(), CLEANUP_MAX) >= CLEANUP_MAX {
            tokio::task::yield_now().await;
        }
    }
}

/// Looks at the whole cache once in `cache_pack_after_ms`, a part of it at a time.
async fn pack_cold_values(app: Arc<App>) {
    let after_ms = app.config.cache_pack_after_ms;
    if after_ms == 0 {
        return;
    }
    let step_ms = after_ms.min(PACK_STEP_MS);
    let mut interval = tokio::time::interval(Duration::from_millis(step_ms));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let app = Arc::clone(&app);
        let step = move || {
            app.cache
                .pack_cold(app.now(), step_ms as f64 / after_ms as f64)
        };
        // It ends with a panic at most, and the next step begins where it was.
        let _ = tokio::task::spawn_blocking(step).await;
    }
}
