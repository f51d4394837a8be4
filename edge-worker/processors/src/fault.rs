//! Why a chunk has no result; the words are those of the native sandbox.

use thiserror::Error;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The source is not JavaScript.
    Syntax,
    /// It threw, or its promise was rejected.
    Exception,
    /// The source is no function and no expression over `chunk`.
    NotAFunction,
    /// It returned something that is not JSON, such as `undefined`.
    BadResult,
    /// The engine met a state that it calls impossible.
    Crashed,
    /// Over the limit of iterations or jobs.
    Work,
    /// Over the limit of the result's size.
    Output,
    /// Over the limit of calls within calls, or of nesting.
    Stack,
    /// Over the limit of the source's length.
    Source,
}

/// Longest message, bytes.
const MESSAGE_BYTES_MAX: usize = 2048;

/// Why [`run`](super::run) gave no result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("processor: {message}{}", at_line(*.line))]
pub struct Fault {
    /// What kind of fault.
    pub kind: FaultKind,
    /// What was wrong, at most 2 KiB.
    pub message: String,
    /// Line of the source, from 1, where known.
    pub line: Option<u32>,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self::at(kind, message, None)
    }

    pub(crate) fn at(kind: FaultKind, message: impl Into<String>, line: Option<u32>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
            message.push('…');
        }
        Self {
            kind,
            message,
            line,
        }
    }

    pub(crate) fn stack() -> Self {
        let message = "RangeError: Maximum call stack size exceeded";
        Self::new(FaultKind::Stack, message)
    }
}

fn at_line(line: Option<u32>) -> String {
    line.map(|line| format!(" (line {line})"))
        .unwrap_or_default()
}
