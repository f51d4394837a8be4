//! The way to Redis, and what is asked of it.

use std::{fmt::Display, sync::LazyLock, time::Duration};

use bullmq::{
    FlowProducer, Queue, QueueOptions, options::RedisConnectionOptions,
    redis_connection::RedisConnection,
};
use redis::{FromRedisValue, Script, ScriptInvocation};
use sommos_core::{
    batch::{BatchStatus, Book, ERRORS_KEPT},
    jobs::{BatchId, JobError},
    time::Timestamp,
};

use super::state;
use crate::queue::{bull::BullOptions, types::QueueError};

/// Of the parents.
pub(super) const PARENTS: &str = "batches";
/// Of the children.
pub(super) const CHILDREN: &str = "chunks";
/// Of the child that keeps a parent waiting while more may come: no worker takes it.
pub(super) const INTAKE: &str = "intake";

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

/// One connection, shared by all that is asked; workers and listeners have their own.
pub(super) struct Link {
    pub(super) redis: RedisConnection,
    pub(super) flows: FlowProducer,
    intake: Queue,
    /// What the names of keys of batches begin with.
    pub(super) base: String,
    prefix: String,
    hard: Duration,
}

impl Link {
    pub(super) async fn open(options: &BullOptions) -> Result<Self, QueueError> {
        let connection = connection(options);
        let redis = RedisConnection::new_managed_only(&connection)
            .await
            .map_err(unreachable)?;
        let prefix = options.prefix.clone();
        let flows = FlowProducer::with_connection(redis.clone(), Some(prefix.clone()))
            .map_err(unreachable)?;
        let named = QueueOptions::default().prefix(prefix.clone());
        let intake = Queue::with_connection(INTAKE, redis.clone(), named)
            .await
            .map_err(unreachable)?;
        Ok(Self {
            redis,
            flows,
            intake,
            base: format!("{prefix}:b:"),
            prefix,
            hard: options.hard,
        })
    }

    /// Waits for Redis, but not long.
    pub(super) async fn within<T, E: Display>(
        &self,
        asked: impl Future<Output = Result<T, E>>,
    ) -> Result<T, QueueError> {
        match tokio::time::timeout(self.hard, asked).await {
            Ok(answer) => answer.map_err(unreachable),
            Err(_) => Err(unreachable(format!("no answer in {:?}", self.hard))),
        }
    }

    /// Runs a script on a batch, with what `args` adds.
    pub(super) async fn script<T: FromRedisValue>(
        &self,
        script: &'static Script,
        id: &str,
        now: Timestamp,
        args: impl for<'a> FnOnce(&mut ScriptInvocation<'a>),
    ) -> Result<T, QueueError> {
        let mut call = script.prepare_invoke();
        call.key(&self.base)
            .key(format!("{}:{PARENTS}:events", self.prefix))
            .arg(id)
            .arg(now.0);
        args(&mut call);
        let mut redis = self.redis.connection();
        self.within(call.invoke_async(&mut redis)).await
    }

    pub(super) async fn pipe<T: FromRedisValue>(
        &self,
        pipe: &redis::Pipeline,
    ) -> Result<T, QueueError> {
        let mut redis = self.redis.connection();
        self.within(pipe.query_async(&mut redis)).await
    }

    /// The key of a batch, with the part of it.
    pub(super) fn key(&self, id: BatchId, part: &str) -> String {
        format!("{}{id}{part}", self.base)
    }

    /// The key of a chunk's job.
    pub(super) fn child(&self, id: &str) -> String {
        format!("{}:{CHILDREN}:{id}", self.prefix)
    }

    pub(super) async fn book(&self, id: BatchId) -> Result<Book, QueueError> {
        let mut books = self.books(&[id]).await?;
        books.pop().ok_or(JobError::NoBatch(id).into())
    }

    /// The books of those batches that are known.
    pub(super) async fn books(&self, ids: &[BatchId]) -> Result<Vec<Book>, QueueError> {
        let mut pipe = redis::pipe();
        for id in ids {
            pipe.cmd("HMGET").arg(self.key(*id, "")).arg(state::FIELDS);
            pipe.cmd("LRANGE")
                .arg(self.key(*id, ":err"))
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

    /// Gives a batch its last status. Less than 0 says that there is none to be given: -1 for an
    /// unknown batch, -2 for one that has ended.
    pub(super) async fn finish(
        &self,
        id: BatchId,
        now: Timestamp,
        (status, error): (BatchStatus, Option<String>),
        kept_ms: u64,
    ) -> Result<i64, QueueError> {
        let name = id.to_string();
        let done: i64 = self
            .script(&FINISH, &name, now, |call| {
                call.arg(status.to_string())
                    .arg(error.unwrap_or_default())
                    .arg(kept_ms);
            })
            .await?;
        if done == 3 {
            self.release(&name).await?;
        }
        Ok(done)
    }

    /// Takes the intake away from a parent: no further chunk will come.
    pub(super) async fn release(&self, id: &str) -> Result<(), QueueError> {
        self.within(self.intake.remove(id)).await?;
        let mut pipe = redis::pipe();
        pipe.cmd("ZREM").arg(format!("{}.open", self.base)).arg(id);
        self.pipe::<redis::Value>(&pipe).await.map(drop)
    }
}

pub(super) fn connection(options: &BullOptions) -> RedisConnectionOptions {
    RedisConnectionOptions {
        url: options.url.clone(),
        ..RedisConnectionOptions::default()
    }
}

pub(super) fn unreachable(error: impl Display) -> QueueError {
    QueueError::Unreachable(error.to_string().into())
}
