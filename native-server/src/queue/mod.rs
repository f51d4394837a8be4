//! The durable queue: SQLite, one writer with group commit, a pool of workers.
//!
//! One thread owns the [scheduler](sommos_core::jobs), the [books](sommos_core::batch) of the
//! batches and the database. It takes all commands that wait, steps the machine through them,
//! writes what changed in one transaction, syncs it to the disk and only then answers: an
//! acknowledged job survives a power cut. Under load many commands share one sync.
//!
//! What is read through the handle was committed before. Work is claimed in the same transactions,
//! with its attempt counted, so that a job that kills the process ends as a dead letter.

mod bull;
mod control;
mod events;
mod facade;
mod handle;
mod inbox;
mod machine;
mod pool;
mod queries;
mod reader;
mod store;
#[cfg(test)]
mod tests;
mod timings;
mod types;
mod writer;

pub use bull::BullOptions;
pub use control::WorkControl;
pub use events::{Event, Subscription, What};
pub use facade::Queue;
pub use store::StoreError;
pub use timings::{Durations, KindTimings, Timings};
pub(crate) use types::wall_now;
pub use types::{
    ChunkResult, Clock, Executor, Failure, Filter, JobView, NewBatch, NewJob, PoolStats,
    QueueConfig, QueueError, QueueMetrics, Work, wall_clock,
};
