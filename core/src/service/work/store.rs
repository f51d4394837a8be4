//! Where the work is kept: what a shell with a store implements, and the store in memory.

use std::collections::BTreeMap;

use crate::{
    batch::Book,
    jobs::{Marks, Record},
};

/// One line of a round. A round is everything that one call changed: all of it is written, or
/// nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Write<'a> {
    /// A record that the store does not have, with its payload.
    Insert {
        /// The record.
        record: &'a Record,
        /// What it was submitted with.
        payload: Vec<u8>,
        /// Its result, should it have ended within the round.
        result: Option<Vec<u8>>,
    },
    /// A record whose state changed.
    Update {
        /// The record.
        record: &'a Record,
        /// Its result, when it has just got one.
        result: Option<Vec<u8>>,
    },
    /// A record to delete, with its payload and result.
    Remove {
        /// Its primary key.
        seq: u64,
    },
    /// A batch that is new or changed.
    Book {
        /// The book.
        book: &'a Book,
        /// The processor as JSON, when the book is new.
        processor: Option<Vec<u8>>,
    },
    /// A batch to delete, with the results of its chunks.
    RemoveBook {
        /// Its key.
        key: u64,
    },
    /// How a chunk ended.
    Chunk {
        /// The batch's key.
        key: u64,
        /// The chunk's index.
        chunk: u32,
        /// Its result, or why it failed.
        outcome: ChunkOutcome,
    },
    /// How far numbers are reserved.
    Marks(Marks),
}

/// The result of a chunk, or why it failed.
pub type ChunkOutcome = Result<Vec<u8>, String>;

/// A store of jobs, tasks and batches.
pub trait Store {
    /// Why it did not do it.
    type Error: core::fmt::Display;

    /// Takes a line of the round.
    ///
    /// # Errors
    /// When it cannot be encoded.
    fn write(&mut self, line: Write<'_>) -> Result<(), Self::Error>;

    /// Makes the round durable.
    ///
    /// # Errors
    /// When nothing of it was written.
    fn commit(&mut self) -> Result<(), Self::Error>;

    /// The payload of a job that has not ended.
    ///
    /// # Errors
    /// When it cannot be read.
    fn payload(&self, seq: u64) -> Result<Vec<u8>, Self::Error>;

    /// The result of a completed job; `None` when it has none (any more).
    ///
    /// # Errors
    /// When it cannot be read.
    fn result(&self, seq: u64) -> Result<Option<Vec<u8>>, Self::Error>;

    /// The processor of a batch, as JSON.
    ///
    /// # Errors
    /// When it cannot be read.
    fn processor(&self, key: u64) -> Result<Vec<u8>, Self::Error>;

    /// Ended chunks of a batch from index `from`, in order, at most `limit`, and not many more
    /// than `bytes` of results.
    ///
    /// # Errors
    /// When they cannot be read.
    fn chunks(
        &self,
        key: u64,
        from: u32,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(u32, ChunkOutcome)>, Self::Error>;
}

/// Everything in memory, for shells without a store. Records live in the scheduler alone.
#[derive(Debug, Default)]
pub struct MemoryStore {
    payloads: BTreeMap<u64, Vec<u8>>,
    results: BTreeMap<u64, Vec<u8>>,
    processors: BTreeMap<u64, Vec<u8>>,
    chunks: BTreeMap<(u64, u32), ChunkOutcome>,
}

impl Store for MemoryStore {
    type Error = core::convert::Infallible;

    fn write(&mut self, line: Write<'_>) -> Result<(), Self::Error> {
        match line {
            Write::Insert {
                record,
                payload,
                result,
            } => {
                self.payloads.insert(record.seq, payload);
                self.results.extend(result.map(|r| (record.seq, r)));
            }
            Write::Update { record, result } => {
                self.results.extend(result.map(|r| (record.seq, r)));
            }
            Write::Remove { seq } => {
                self.payloads.remove(&seq);
                self.results.remove(&seq);
            }
            Write::Book { book, processor } => {
                self.processors.extend(processor.map(|p| (book.key, p)));
            }
            Write::RemoveBook { key } => {
                self.processors.remove(&key);
                self.chunks.retain(|(k, _), _| *k != key);
            }
            Write::Chunk {
                key,
                chunk,
                outcome,
            } => {
                self.chunks.insert((key, chunk), outcome);
            }
            Write::Marks(_) => {}
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn payload(&self, seq: u64) -> Result<Vec<u8>, Self::Error> {
        Ok(self.payloads.get(&seq).cloned().unwrap_or_default())
    }

    fn result(&self, seq: u64) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok(self.results.get(&seq).cloned())
    }

    fn processor(&self, key: u64) -> Result<Vec<u8>, Self::Error> {
        Ok(self.processors.get(&key).cloned().unwrap_or_default())
    }

    fn chunks(
        &self,
        key: u64,
        from: u32,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(u32, ChunkOutcome)>, Self::Error> {
        let mut read = 0;
        let rows = self.chunks.range((key, from)..=(key, u32::MAX)).take(limit);
        Ok(rows
            .take_while(|(_, outcome)| {
                let go = read < bytes;
                read += outcome.as_ref().map_or(0, Vec::len);
                go
            })
            .map(|((_, chunk), outcome)| (*chunk, outcome.clone()))
            .collect())
    }
}
