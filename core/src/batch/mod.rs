//! Data sets in chunks: the plan of a batch, the book of its progress, and the built-in operations
//! on records.
//!
//! A batch is a group of chunk jobs in the [scheduler](crate::jobs) and a [`Book`] that counts how
//! they end. One bad chunk fails alone and is named in the book; the others go on.

mod book;
mod event;
mod ledger;
pub mod lines;
pub mod operations;
mod plan;
mod reason;
#[cfg(test)]
mod tests;
mod upkeep;

pub use book::{BatchOptions, BatchStatus, Book, ChunkError, ERRORS_KEPT, percent};
pub use event::{BatchChange, BatchEvent, BatchEventKind, BatchMetrics};
pub use ledger::{Ledger, accepted};
pub use plan::{Plan, PlanError, plan};
pub use reason::Reason;
