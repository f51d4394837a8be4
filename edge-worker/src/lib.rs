//! The same API on Cloudflare Workers.
//!
//! Requests are decoded and checked in the isolate that they reach. State lives in Durable
//! Objects: [`JobQueue`] runs core's scheduler over its SQLite storage and hands claims to the
//! consumers of a queue; [`CacheGroup`] is the authority on a group of cache keys; [`MonitorState`]
//! counts for all isolates. See `wrangler.toml` for the bindings and their limits.

mod batches;
mod body;
mod cache;
mod call;
mod consumer;
mod frame;
mod http;
mod monitoring;
mod objects;
#[cfg(feature = "test-panic")]
mod panics;
#[cfg(feature = "processors")]
pub mod processors;
mod settings;

use sommos_core::wire::routes::Route;
use worker::{
    Context, Env, MessageBatch, Request, Response, Result, ScheduleContext, ScheduledEvent, event,
};

pub use objects::{cache::CacheGroup, jobs::JobQueue, monitor::MonitorState};

/// Calls that a worker cannot answer: they need a process, or a connection that stays open. The
/// document of the API is large, and the server has it.
pub const NOT_OFFERED: [Route; 7] = [
    Route::CacheDistributedStats,
    Route::TestLoad,
    Route::TestMemory,
    Route::MonitoringProfile,
    Route::Events,
    Route::OpenApi,
    Route::Docs,
];

/// Answers a request.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    #[cfg(feature = "test-panic")]
    if let Some(answer) = panics::on_request(&request, &env).await {
        return answer;
    }
    http::respond_to(request, &env, &context).await
}

/// Runs the claims of a batch of messages.
#[event(queue)]
async fn queue(batch: MessageBatch<String>, env: Env, _context: Context) -> Result<()> {
    consumer::consume(batch, &env).await
}

/// What is due every minute: retention, expiry, samples and alerts, also when nobody asks.
#[event(scheduled)]
async fn scheduled(event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    #[cfg(feature = "test-panic")]
    panics::on_cron(&event.cron());
    if let Err(error) = tick(&env).await {
        worker::console_error!("cron {}: {error}", event.cron());
    }
}

async fn tick(env: &Env) -> core::result::Result<(), sommos_core::wire::ApiError> {
    let call = call::Call::new(env, None)?;
    let none: [&[u8]; 0] = [];
    let jobs = objects::jobs::Command::Tick;
    call.ask::<_, ()>(call::Object::Jobs, &jobs, &none).await?;
    cache::tick(&call).await?;
    monitoring::tick(&call).await
}
