//! How a data set is cut into chunks.

use core::ops::Range;

use thiserror::Error;

use crate::limits::Limits;

/// A data set in chunks of `batch_size` records, the last one shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    records: usize,
    batch_size: usize,
}

/// Why a data set cannot be cut this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No record in it.
    #[error("the data set is empty: it needs at least one record")]
    Empty,
    /// Too many records.
    #[error("{records} records; at most {limit} in one batch")]
    Records {
        /// Records given.
        records: usize,
        /// The limit.
        limit: usize,
    },
    /// The chunk size is out of range.
    #[error("batchSize is {batch_size}; it must be 1..={limit}")]
    BatchSize {
        /// Size asked for.
        batch_size: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many chunks.
    #[error(
        "{records} records in chunks of {batch_size} are {chunks} chunks; at most {limit}: raise batchSize"
    )]
    Chunks {
        /// Records given.
        records: usize,
        /// Size asked for.
        batch_size: usize,
        /// Chunks that would be.
        chunks: usize,
        /// The limit.
        limit: usize,
    },
}

/// Cuts `records` records into chunks of `batch_size`.
///
/// # Errors
/// [`PlanError`] naming the limit.
pub fn plan(records: usize, batch_size: usize, limits: &Limits) -> Result<Plan, PlanError> {
    if records == 0 {
        return Err(PlanError::Empty);
    }
    if records > limits.records {
        return Err(PlanError::Records {
            records,
            limit: limits.records,
        });
    }
    if batch_size == 0 || batch_size > limits.batch_size {
        return Err(PlanError::BatchSize {
            batch_size,
            limit: limits.batch_size,
        });
    }
    let plan = Plan {
        records,
        batch_size,
    };
    let (chunks, limit) = (plan.chunks(), limits.batch_chunks);
    if chunks > limit {
        return Err(PlanError::Chunks {
            records,
            batch_size,
            chunks,
            limit,
        });
    }
    Ok(plan)
}

impl Plan {
    /// How many chunks.
    #[must_use]
    pub const fn chunks(&self) -> usize {
        self.records.div_ceil(self.batch_size)
    }

    /// The records of one chunk; empty beyond the last.
    #[must_use]
    pub fn range(&self, chunk: usize) -> Range<usize> {
        let start = chunk.saturating_mul(self.batch_size).min(self.records);
        start..start.saturating_add(self.batch_size).min(self.records)
    }

    /// The chunks in order.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let plan = *self;
        (0..plan.chunks()).map(move |chunk| plan.range(chunk))
    }
}
