//! Why a batch failed as a whole.

use core::fmt;

/// What its book says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason<'a> {
    /// None of its chunks completed.
    EveryChunk,
    /// A chunk failed, and the batch was to stop at the first that does.
    Chunk {
        /// Its index.
        chunk: u32,
        /// Why it failed.
        error: &'a str,
    },
    /// Its time was over.
    TimedOut {
        /// How long it might take, milliseconds.
        ms: u64,
    },
    /// Whoever brought its chunks went away before the last one.
    Abandoned,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EveryChunk => f.write_str("every chunk failed"),
            Self::Chunk { chunk, error } => write!(f, "chunk {chunk} failed: {error}"),
            Self::TimedOut { ms } => write!(f, "timed out after {ms} ms"),
            Self::Abandoned => f.write_str("interrupted before all its chunks were there"),
        }
    }
}
