//! The Durable Object classes; their names are those of `wrangler.toml` and of the shim.

#![expect(missing_docs, reason = "`durable_object` writes methods without")]

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

/// Counts by name in its SQLite storage, and once more by its alarm.
#[durable_object(alarm)]
pub struct JobQueue {
    state: State,
}

#[derive(Deserialize)]
struct Row {
    count: u64,
}

impl JobQueue {
    fn count(&self, name: &str) -> Result<u64> {
        let rows: Vec<Row> = self
            .state
            .storage()
            .sql()
            .exec(
                "INSERT INTO counts VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET count = count + 1 \
                 RETURNING count",
                vec![name.into()],
            )?
            .to_array()?;
        Ok(rows.first().map_or(0, |row| row.count))
    }

    fn read(&self, name: &str) -> Result<u64> {
        let select = "SELECT count FROM counts WHERE name = ?";
        let sql = self.state.storage().sql();
        let rows: Vec<Row> = sql.exec(select, vec![name.into()])?.to_array()?;
        Ok(rows.first().map_or(0, |row| row.count))
    }
}

impl DurableObject for JobQueue {
    fn new(state: State, _env: Env) -> Self {
        let table = "CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, count INTEGER)";
        if let Err(error) = state.storage().sql().exec(table, None) {
            worker::console_error!("counts: {error}");
        }
        Self { state }
    }

    async fn fetch(&self, req: Request) -> Result<Response> {
        let path = req.path();
        #[cfg(feature = "test-panic")]
        crate::panics::in_object(&path).await;
        if path.ends_with("/alarm") {
            let soon = Duration::from_millis(20);
            self.state.storage().set_alarm(soon).await?;
        }
        let count = match path.strip_prefix("/read") {
            Some(name) => self.read(&format!("/count{name}"))?,
            None => self.count(&path)?,
        };
        Response::from_json(&json!({ "success": true, "count": count }))
    }

    async fn alarm(&self) -> Result<Response> {
        let count = self.count("/count/alarms")?;
        #[cfg(feature = "test-panic")]
        crate::panics::in_alarm(count);
        Response::from_json(&json!({ "success": true, "count": count }))
    }
}

/// What a group of cache keys agrees on.
#[durable_object(alarm)]
pub struct CacheGroup {}

impl DurableObject for CacheGroup {
    fn new(_state: State, _env: Env) -> Self {
        Self {}
    }

    async fn fetch(&self, _req: Request) -> Result<Response> {
        Response::from_json(&json!({ "success": true }))
    }

    async fn alarm(&self) -> Result<Response> {
        Response::empty()
    }
}

/// Counters of all isolates.
#[durable_object(alarm)]
pub struct MonitorState {}

impl DurableObject for MonitorState {
    fn new(_state: State, _env: Env) -> Self {
        Self {}
    }

    async fn fetch(&self, _req: Request) -> Result<Response> {
        Response::from_json(&json!({ "success": true }))
    }

    async fn alarm(&self) -> Result<Response> {
        Response::empty()
    }
}
