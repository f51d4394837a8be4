//! Reads that come at once go to Redis in one question.

use std::{sync::Arc, time::Duration};

use redis::Cmd;
use sommos_core::time::Timestamp;

use super::link::{Link, LinkError};
use crate::gather::Together;

/// Reads of names.
pub(super) struct Reads(pub(super) Arc<Link>);

/// The read of one name.
pub(super) struct Read {
    pub(super) name: String,
    /// When it was asked for, by the link's clock.
    pub(super) since: Timestamp,
    /// What was left of its hard timeout then: asked at once it needs no other look at the clock.
    pub(super) left: Duration,
}

impl Together for Reads {
    type Question = Read;
    /// The bytes under the name. An error comes never later than the hard timeout.
    type Answer = Result<Option<Vec<u8>>, LinkError>;
    const MAX: usize = 128;

    async fn ask(&self, reads: Vec<Read>) -> Vec<Self::Answer> {
        // The first has waited longest: within its time, all are.
        let since = reads.first().map_or(Timestamp::ZERO, |read| read.since);
        let left = self.0.left(since);
        if let [one] = &reads[..] {
            return vec![self.get(&one.name, left).await];
        }
        let bytes = reads.iter().map(|read| read.name.len()).sum::<usize>();
        let mut get = Cmd::with_capacity(1 + reads.len(), "MGET".len() + bytes);
        get.arg("MGET");
        for read in &reads {
            get.arg(&read.name);
        }
        match self.0.ask_within::<Vec<_>>(&get, left).await {
            Ok(found) => found.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); reads.len()],
        }
    }

    async fn ask_one(&self, read: Read) -> Option<Self::Answer> {
        Some(self.get(&read.name, read.left).await)
    }
}

impl Reads {
    async fn get(&self, name: &str, left: Duration) -> <Self as Together>::Answer {
        let mut get = Cmd::with_capacity(2, "GET".len() + name.len());
        get.arg("GET").arg(name);
        self.0.ask_within(&get, left).await
    }
}
