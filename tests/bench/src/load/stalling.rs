//! A server that answers at once, but at one path stalls for two seconds, once.

use std::{
    io::Write as _,
    sync::OnceLock,
    time::{Duration, Instant},
};

use axum::{Router, routing::get};

/// The hidden argument that makes the benchmark this server.
pub const COMMAND: &str = "stalling-server";
/// Answers at once.
pub const FAST: &str = "/fast";
/// So does this, but for [`STALL`] from [`BEFORE`] after its first request on: whoever asks then
/// is answered when that is over.
pub const STALLS: &str = "/stalls";

const BEFORE: Duration = Duration::from_secs(3);
const STALL: Duration = Duration::from_secs(2);

static FIRST: OnceLock<Instant> = OnceLock::new();

/// Serves until it is killed.
pub fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let router = Router::new()
            .route(FAST, get(|| std::future::ready("fine")))
            .route(STALLS, get(stalls));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        axum::serve(listener, router).await?;
        Ok(())
    })
}

async fn stalls() -> &'static str {
    let passed = FIRST.get_or_init(Instant::now).elapsed();
    if (BEFORE..BEFORE + STALL).contains(&passed) {
        tokio::time::sleep(BEFORE + STALL - passed).await;
    }
    "fine"
}
