//! What is asked of Redis about batches. Each change is one script.

use std::{sync::LazyLock, time::Duration};

use bullmq::{FlowJob, FlowProducer};
use redis::{FromRedisValue, Pipeline, Script, ScriptInvocation};
use sommos_core::{
    batch::{BatchStatus, Book, ERRORS_KEPT},
    jobs::{BatchId, JobError},
};

use super::state;
use crate::queue::{
    bull::{
        Bull,
        options::{BATCHES, INTAKE},
    },
    types::QueueError,
};

macro_rules! script {
    ($name:ident, $file:literal) => {
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                include_str!("lua/shared.lua"),
                include_str!(concat!("lua/", $file, ".lua"))
            ))
        });
    };
}

script!(OPEN, "open");
script!(PUBLISH, "publish");
script!(APPEND, "append");
script!(BEGIN, "begin");
script!(RECORD, "record");
script!(SEAL, "seal");
script!(FINISH, "finish");
script!(DISCARD, "discard");
script!(PAGE, "page");
script!(SWEEP, "sweep");

impl Bull {
    /// The key of a batch, with the part of it.
    pub(super) fn batch_key(&self, id: impl std::fmt::Display, part: &str) -> String {
        format!("{}:b:{id}{part}", self.options.prefix)
    }

    /// Runs a script on a batch, with what `args` adds.
    pub(super) async fn script<T: FromRedisValue>(
        &self,
        script: &'static Script,
        id: &str,
        args: impl for<'a> FnOnce(&mut ScriptInvocation<'a>),
    ) -> Result<T, QueueError> {
        self.script_within(self.options.hard, script, id, args)
            .await
    }

    /// The same with a time limit of its own, for workers and what may be large.
    pub(super) async fn script_within<T: FromRedisValue>(
        &self,
        longest: Duration,
        script: &'static Script,
        id: &str,
        args: impl for<'a> FnOnce(&mut ScriptInvocation<'a>),
    ) -> Result<T, QueueError> {
        let queue = self.options.base(BATCHES);
        let mut call = script.prepare_invoke();
        call.key(self.batch_key("", ""))
            .key(format!("{queue}:events"))
            .key(format!("{queue}:meta"))
            .arg(id)
            .arg(self.now().0);
        args(&mut call);
        self.link
            .ask_within(longest, |conn| async move {
                let mut connection = conn.redis().connection();
                Ok(call.invoke_async(&mut connection).await?)
            })
            .await
    }

    pub(super) async fn pipe<T: FromRedisValue>(&self, pipe: &Pipeline) -> Result<T, QueueError> {
        self.link
            .ask(|conn| async move {
                let mut connection = conn.redis().connection();
                Ok(pipe.query_async(&mut connection).await?)
            })
            .await
    }

    /// Adds a parent with its children, or one more child.
    pub(super) async fn add_flow(&self, job: FlowJob) -> Result<(), QueueError> {
        let prefix = Some(self.options.prefix.clone());
        self.link
            .ask(|conn| async move {
                let flows = FlowProducer::with_connection(conn.redis().clone(), prefix)?;
                flows.add(job).await.map(drop)
            })
            .await
    }

    pub(super) async fn book_of(&self, id: BatchId) -> Result<Book, QueueError> {
        let mut books = self.books(&[id]).await?;
        books.pop().ok_or(JobError::NoBatch(id).into())
    }

    /// The books of those batches that are known.
    pub(super) async fn books(&self, ids: &[BatchId]) -> Result<Vec<Book>, QueueError> {
        let mut pipe = redis::pipe();
        for id in ids {
            pipe.cmd("HMGET")
                .arg(self.batch_key(id, ""))
                .arg(state::FIELDS);
            pipe.cmd("LRANGE")
                .arg(self.batch_key(id, ":err"))
                .arg(0)
                .arg(ERRORS_KEPT - 1);
        }
        let found: Vec<redis::Value> = self.pipe(&pipe).await?;
        let books = ids.iter().zip(found.chunks_exact(2));
        Ok(books
            .filter_map(|(id, parts)| match parts {
                [fields, errors] => state::book(*id, fields, errors),
                _ => None,
            })
            .collect())
    }

    /// Gives a batch its last status, and says why if it failed. What comes from elsewhere than
    /// its chunks (not a `conclusion`) is late when these have all ended.
    ///
    /// # Errors
    /// [`JobError::NoBatch`], or [`JobError::Sealed`] when it has ended.
    pub(super) async fn finish(
        &self,
        id: BatchId,
        status: BatchStatus,
        error: Option<String>,
        conclusion: bool,
    ) -> Result<(), QueueError> {
        let name = id.to_string();
        let done: i64 = self
            .script(&FINISH, &name, |call| {
                call.arg(status.to_string())
                    .arg(error.unwrap_or_default())
                    .arg(self.config.retention.age_ms)
                    .arg(u8::from(conclusion));
            })
            .await?;
        match done {
            -1 => Err(JobError::NoBatch(id).into()),
            -2 => Err(JobError::Sealed(id).into()),
            // More chunks might have come.
            3 => self.release(&name).await,
            _ => Ok(()),
        }
    }

    /// Takes the intake away from a parent: no further chunk will come.
    pub(super) async fn release(&self, id: &str) -> Result<(), QueueError> {
        let open = self.batch_key("", ".open");
        self.link
            .ask(|conn| async move {
                conn.queue(INTAKE)?.remove(id).await?;
                let mut connection = conn.redis().connection();
                let gone = redis::cmd("ZREM").arg(open).arg(id).to_owned();
                Ok(gone.query_async::<()>(&mut connection).await?)
            })
            .await
    }
}
