//! What the workers run: core's tasks, and the processors of batches.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use sommos_core::{
    control::Control,
    jobs::Kind,
    limits::Limits,
    par::Par,
    wire::{
        ApiError, ErrorCode,
        batch::{Processor, run_built_in},
        tasks::Task,
        testing::LOAD_TEST,
    },
};

use crate::{
    allocator,
    loadtest::LoadTests,
    queue::{Executor, Failure, Work, WorkControl},
    sandbox::{self, Sandbox, SandboxError},
};

/// Work below this cost runs in its worker's thread alone: spreading it would cost more.
const PARALLEL_COST_MIN: u64 = 1 << 20;

/// Runs jobs, tasks and chunks.
pub struct TaskExecutor {
    limits: Limits,
    sandbox: Arc<Sandbox>,
    processor_limits: sandbox::Limits,
    load_tests: Arc<LoadTests>,
}

impl TaskExecutor {
    /// An executor that runs processors in this sandbox, within these limits for each chunk, and
    /// these load tests.
    #[must_use]
    pub fn new(
        limits: Limits,
        sandbox: Arc<Sandbox>,
        processor_limits: sandbox::Limits,
        load_tests: Arc<LoadTests>,
    ) -> Self {
        Self {
            limits,
            sandbox,
            processor_limits,
            load_tests,
        }
    }

    /// Runs a processor over one chunk, a JSON array; gives the JSON array of its results.
    ///
    /// # Errors
    /// [`Failure`] with a message for the caller.
    pub fn run_chunk(
        &self,
        processor: &Processor,
        chunk: &[u8],
        control: &dyn Control,
    ) -> Result<Vec<u8>, Failure> {
        if let Processor::Source(source) = processor {
            return self
                .sandbox
                .run(source, chunk, self.processor_limits, control)
                .map_err(sandbox_failed);
        }
        run_built_in(processor, chunk, control, &self.limits).map_err(failed)
    }

    fn task(&self, work: &Work, control: &WorkControl) -> Result<Vec<u8>, Failure> {
        let task =
            Task::parse_stored(&work.job_type, &work.payload, &self.limits).map_err(failed)?;
        let par = if task.cost() >= PARALLEL_COST_MIN {
            Par::Rayon
        } else {
            Par::Seq
        };
        task.run(par, control, &self.limits).map_err(failed)
    }

    fn chunk(&self, work: &Work, control: &WorkControl) -> Result<Vec<u8>, Failure> {
        let processor: Processor = serde_json::from_slice(&work.params)
            .map_err(|error| stored(format!("stored processor: {error}")))?;
        self.run_chunk(&processor, &work.payload, control)
    }
}

fn stored(what: String) -> Failure {
    Failure::permanent(ErrorCode::Internal.as_str(), what)
}

fn sandbox_failed(error: SandboxError) -> Failure {
    match error {
        SandboxError::Stopped(stopped) => stopped.into(),
        error if error.is_retryable() => {
            Failure::transient(ErrorCode::Unavailable.as_str(), error.to_string())
        }
        error => Failure::permanent(ErrorCode::ProcessorFailed.as_str(), error.to_string()),
    }
}

/// Wrong input fails again; only our own troubles are worth another attempt.
fn failed(error: ApiError) -> Failure {
    let code = error.code.as_str();
    match error.code {
        ErrorCode::Internal | ErrorCode::Unavailable => Failure::transient(code, error.message),
        _ => Failure::permanent(code, error.message),
    }
}

impl Executor for TaskExecutor {
    fn run(&self, work: &Work, control: &WorkControl) -> Result<Bytes, Failure> {
        let result = match work.kind {
            Kind::Job if &*work.job_type == LOAD_TEST => self.load_tests.run(work, control),
            Kind::Job | Kind::Task => self.task(work, control),
            Kind::Chunk => self.chunk(work, control),
        };
        allocator::trim_after(work.payload.len());
        result.map(Bytes::from)
    }
}

/// The options of the sandbox: children of this very binary.
#[must_use]
pub fn sandbox_options(program: Option<PathBuf>, children_max: usize) -> sandbox::SandboxOptions {
    let mut options = sandbox::SandboxOptions {
        children_max,
        ..Default::default()
    };
    if let Some(program) = program {
        options.program = program;
    }
    options
}
