//! Jobs and tasks.

use bytes::Bytes;
use sommos_core::jobs::{JobId, Record, Submitted};

use super::Bull;
use crate::queue::types::{Filter, JobView, NewJob, QueueError, QueueMetrics};

impl Bull {
    /// Whether workers outside of this server run this type.
    pub(in crate::queue) fn is_external(&self, job_type: &str) -> bool {
        self.options.external.iter().any(|name| name == job_type)
    }

    pub(in crate::queue) async fn submit(&self, _job: NewJob) -> Result<Submitted, QueueError> {
        Err(unreachable())
    }

    pub(in crate::queue) async fn cancel(&self, _id: JobId) -> Result<bool, QueueError> {
        Err(unreachable())
    }

    pub(in crate::queue) async fn retry(&self, _id: JobId) -> Result<(), QueueError> {
        Err(unreachable())
    }

    pub(in crate::queue) async fn clear(&self, _older_than_ms: u64) -> Result<usize, QueueError> {
        Err(unreachable())
    }

    pub(in crate::queue) async fn job(&self, _id: JobId) -> Result<JobView, QueueError> {
        Err(unreachable())
    }

    pub(in crate::queue) async fn result(&self, _id: JobId) -> Result<Option<Bytes>, QueueError> {
        Err(unreachable())
    }

    pub(in crate::queue) async fn list(
        &self,
        _filter: Filter,
        _limit: usize,
    ) -> Result<Vec<Record>, QueueError> {
        Err(unreachable())
    }

    /// The counters of the shared queue on top of those of the embedded one.
    pub(in crate::queue) async fn metrics(
        &self,
        mut local: QueueMetrics,
    ) -> Result<QueueMetrics, QueueError> {
        match self.count_batches(&mut local).await {
            Ok(()) | Err(QueueError::Unreachable(_)) => Ok(local),
            Err(error) => Err(error),
        }
    }
}

fn unreachable() -> QueueError {
    QueueError::Unreachable("not connected".into())
}
