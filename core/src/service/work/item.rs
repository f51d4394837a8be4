//! One attempt of a piece of work, as whoever runs it needs it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{
    control::Control,
    jobs::{JobId, Kind},
    limits::Limits,
    par::Par,
    wire::{
        ApiError, ErrorCode,
        batch::{self, Processor},
        tasks::Task,
    },
};

/// A job, task or chunk with all that its run needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkItem {
    /// Which.
    pub id: JobId,
    /// The fencing token that its report must carry.
    pub token: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Which handler.
    pub job_type: Box<str>,
    /// Of a chunk: what its batch does to it.
    pub processor: Option<Processor>,
    /// What it was submitted with; travels beside the rest.
    #[serde(skip)]
    pub payload: Vec<u8>,
}

impl WorkItem {
    /// Runs it: a task of core's, or a built-in processor.
    ///
    /// # Errors
    /// What was wrong with its input; `NOT_IMPLEMENTED` for a JavaScript processor.
    pub fn run(
        &self,
        par: Par,
        control: &dyn Control,
        limits: &Limits,
    ) -> Result<Vec<u8>, ApiError> {
        match (self.id.kind, &self.processor) {
            (Kind::Job | Kind::Task, _) => {
                Task::parse_stored(&self.job_type, &self.payload, limits)?.run(par, control, limits)
            }
            (Kind::Chunk, Some(processor)) => {
                batch::run_built_in(processor, &self.payload, control, limits)
            }
            (Kind::Chunk, None) => Err(ApiError::new(
                ErrorCode::Internal,
                "the chunk came without its processor",
            )),
        }
    }
}

/// Why an attempt has no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkFailure {
    /// For programs.
    pub code: Cow<'static, str>,
    /// For people.
    pub message: Cow<'static, str>,
    /// What follows from it.
    pub verdict: Verdict,
}

/// What a failed attempt says of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It would fail again.
    Final,
    /// Another attempt may help.
    Retry,
    /// It was not an attempt at all: it was stopped from outside.
    Release,
}

/// Wrong input fails again; only our own troubles are worth another attempt.
impl From<ApiError> for WorkFailure {
    fn from(error: ApiError) -> Self {
        let verdict = match error.code {
            ErrorCode::Internal | ErrorCode::Unavailable => Verdict::Retry,
            ErrorCode::Cancelled => Verdict::Release,
            _ => Verdict::Final,
        };
        Self {
            code: Cow::Borrowed(error.code.as_str()),
            message: error.message,
            verdict,
        }
    }
}
