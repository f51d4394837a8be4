//! Why a chunk has no result.

use sommos_core::control::Stopped;
use thiserror::Error;

use super::frame::{Fault, FaultKind};

/// What is wrong with a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessorErrorKind {
    /// The source is not JavaScript.
    Syntax,
    /// It threw, or its promise was rejected.
    Exception,
    /// The source is no function and no expression over `chunk`.
    NotAFunction,
    /// It returned something that is not JSON, such as `undefined`.
    BadResult,
    /// The interpreter died or tried a forbidden system call.
    Crashed,
}

/// Which limit a processor broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitKind {
    /// Wall time.
    Time,
    /// Heap.
    Memory,
    /// Size of the result.
    Output,
    /// Depth of calls.
    Stack,
}

/// Why [`Sandbox::run`](super::Sandbox::run) gave no result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The processor's own fault: the same chunk would fail again.
    #[error("processor: {message}{}", at_line(*.line))]
    Processor {
        /// What kind of fault.
        kind: ProcessorErrorKind,
        /// What was wrong, at most 2 KiB.
        message: String,
        /// Line of the source, from 1, where known.
        line: Option<u32>,
    },
    /// The processor went over a limit: the same chunk would fail again under the same limits.
    #[error("processor: {message}")]
    Limit {
        /// Which limit.
        kind: LimitKind,
        /// The limit and its value.
        message: String,
    },
    /// The caller stopped it; the child is gone.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The sandbox itself failed. Another attempt may succeed.
    #[error("sandbox unavailable: {0}")]
    Unavailable(String),
}

fn at_line(line: Option<u32>) -> String {
    line.map(|line| format!(" (line {line})"))
        .unwrap_or_default()
}

impl SandboxError {
    /// Whether the same call may succeed when repeated.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    pub(super) fn timed_out(time_ms: u64) -> Self {
        Self::Limit {
            kind: LimitKind::Time,
            message: format!("ran longer than {time_ms} ms"),
        }
    }

    pub(super) fn output_too_large(output_bytes: u64) -> Self {
        Self::Limit {
            kind: LimitKind::Output,
            message: format!("the result is larger than {output_bytes} bytes of JSON"),
        }
    }
}

impl From<Fault> for SandboxError {
    fn from(fault: Fault) -> Self {
        let processor = |kind, fault: Fault| Self::Processor {
            kind,
            message: fault.message,
            line: fault.line,
        };
        let limit = |kind, fault: Fault| Self::Limit {
            kind,
            message: fault.message,
        };
        match fault.kind {
            FaultKind::Syntax => processor(ProcessorErrorKind::Syntax, fault),
            FaultKind::Exception => processor(ProcessorErrorKind::Exception, fault),
            FaultKind::NotAFunction => processor(ProcessorErrorKind::NotAFunction, fault),
            FaultKind::BadResult => processor(ProcessorErrorKind::BadResult, fault),
            FaultKind::Timeout => limit(LimitKind::Time, fault),
            FaultKind::Memory => limit(LimitKind::Memory, fault),
            FaultKind::OutputTooLarge => limit(LimitKind::Output, fault),
            FaultKind::Stack => limit(LimitKind::Stack, fault),
        }
    }
}
