//! The six kinds of work over JSON, as the REST API takes them.

use sommos_core::{
    limits::Limits,
    par::Par,
    wire::{
        error::ApiError,
        tasks::{Task, TaskType, result_json},
    },
};
use wasm_bindgen::prelude::*;

use crate::{checkpoint::Checkpoint, error::refuse};

/// Runs a task on the JSON text of its data and gives that of its result.
///
/// # Errors
/// The API's own codes: `UNKNOWN_NAME`, `MISSING_FIELD`, `INVALID_FIELD`, `LIMIT_EXCEEDED`,
/// `CANCELLED` and so on.
#[wasm_bindgen(js_name = runTask)]
pub fn run_task(task_type: &str, data: &str) -> Result<String, JsValue> {
    run(task_type, data).map_err(|error| refuse(error.code.as_str(), error))
}

fn run(task_type: &str, data: &str) -> Result<String, ApiError> {
    let limits = Limits::default();
    let task_type = TaskType::parse("taskType", task_type)?;
    let data = serde_json::from_str(data)
        .map_err(|error| ApiError::invalid("data", format!("no JSON: {error}")))?;
    let stored = Task::parse(task_type, data, &limits)?.run(Par::Seq, &Checkpoint, &limits)?;
    let json = result_json(&stored, &limits)?;
    Ok(String::from_utf8_lossy(&json).into_owned())
}
