//! Batches as flows: the chunks are children, the parent assembles.

use bytes::Bytes;
use sommos_core::{
    batch::{BatchOptions, Book},
    jobs::BatchId,
};

use super::Bull;
use crate::queue::types::{ChunkResult, NewBatch, QueueError};

impl Bull {
    pub(in crate::queue) async fn submit_batch(
        &self,
        _batch: NewBatch,
    ) -> Result<BatchId, QueueError> {
        Err(unreachable())
    }

    pub(in crate::queue) async fn open_batch(
        &self,
        _options: BatchOptions,
        _params: Bytes,
    ) -> Result<BatchId, QueueError> {
        Err(unreachable())
    }

    pub(in crate::queue) async fn append_chunk(
        &self,
        _id: BatchId,
        _payload: Bytes,
        _items: u64,
    ) -> Result<u32, QueueError> {
        Err(unreachable())
    }

    pub(in crate::queue) async fn seal_batch(&self, _id: BatchId) -> Result<(), QueueError> {
        Err(unreachable())
    }

    pub(in crate::queue) async fn cancel_batch(&self, _id: BatchId) -> Result<(), QueueError> {
        Err(unreachable())
    }

    pub(in crate::queue) async fn batch(&self, _id: BatchId) -> Result<Book, QueueError> {
        Err(unreachable())
    }

    pub(in crate::queue) async fn batch_results(
        &self,
        _id: BatchId,
        _from: u32,
        _limit: usize,
    ) -> Result<Vec<ChunkResult>, QueueError> {
        Err(unreachable())
    }

    pub(in crate::queue) async fn list_batches(
        &self,
        _limit: usize,
    ) -> Result<Vec<Book>, QueueError> {
        Err(unreachable())
    }
}

fn unreachable() -> QueueError {
    QueueError::Unreachable("not connected".into())
}
