//! The same API on Cloudflare Workers.
//!
//! For now a skeleton that proves the build: each kind of event is answered, each Durable Object
//! class exists, and `JobQueue` counts in its SQLite storage and by its alarm. The API itself is
//! not served yet.

mod objects;
#[cfg(feature = "test-panic")]
mod panics;

use serde_json::json;
use sommos_core::wire::routes::Route;
use worker::{
    Context, Env, MessageBatch, MessageExt as _, Request, Response, Result, ScheduleContext,
    ScheduledEvent, event,
};

pub use objects::{CacheGroup, JobQueue, MonitorState};

/// Calls that need a process and therefore answer 501 at the edge.
pub const NOT_OFFERED: [Route; 2] = [Route::TestLoad, Route::TestMemory];

/// Answers a request: `/count/NAME` and `/read/NAME` from the job queue's Durable Object, else only that it runs.
#[event(fetch)]
async fn fetch(req: Request, env: Env, _ctx: Context) -> Result<Response> {
    #[cfg(feature = "test-panic")]
    panics::on_request(&req.path()).await;
    let path = req.path();
    if path.starts_with("/count/") || path.starts_with("/read/") {
        return jobs(&env)?.fetch_with_request(req).await;
    }
    Response::from_json(&json!({ "success": true, "name": "sommos-edge" }))
}

/// A batch of the queue: every message is one count.
#[event(queue)]
async fn queue(batch: MessageBatch<serde_json::Value>, env: Env, _ctx: Context) -> Result<()> {
    for message in batch.messages()? {
        #[cfg(feature = "test-panic")]
        panics::on_message(message.body());
        jobs(&env)?
            .fetch_with_str("https://jobs/count/queue")
            .await?;
        message.ack();
    }
    Ok(())
}

/// The cron trigger: one count.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _ctx: ScheduleContext) {
    #[cfg(feature = "test-panic")]
    panics::on_cron(&_event.cron());
    let counted = match jobs(&env) {
        Ok(jobs) => jobs.fetch_with_str("https://jobs/count/cron").await.err(),
        Err(error) => Some(error),
    };
    if let Some(error) = counted {
        worker::console_error!("cron: {error}");
    }
}

/// The one object that counts.
fn jobs(env: &Env) -> Result<worker::Stub> {
    env.durable_object("JOBS")?.get_by_name("all")
}

#[cfg(test)]
mod tests {
    use super::NOT_OFFERED;
    use sommos_core::wire::routes::Scope;

    #[test]
    fn only_tests_of_the_process_are_missing() {
        assert!(
            NOT_OFFERED
                .iter()
                .all(|route| route.info().scope == Scope::Admin)
        );
    }
}
