//! The connection of requests to BullMQ: one for all queues, with a time limit on every command
//! and a breaker, so that a Redis that does not answer costs a request its limit a few times and
//! then nothing.
//!
//! A connection that failed is thrown away and another is made in the background. Workers and
//! listeners have connections of their own, for they block.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use bullmq::{
    Error, QueueOptions, options::RedisConnectionOptions, redis_connection::RedisConnection,
};
use sommos_core::{
    distributed::{Breaker, BreakerConfig},
    time::Timestamp,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::options::BullOptions;
use crate::queue::types::QueueError;

/// Time between two signs of life that are asked for.
const BEAT: Duration = Duration::from_secs(1);

/// BullMQ's queues over one connection.
pub(super) struct Conn {
    redis: RedisConnection,
    queues: HashMap<Box<str>, bullmq::Queue>,
}

impl Conn {
    /// The queue of this name, one of [`BullOptions::queues`].
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for any other.
    pub(super) fn queue(&self, name: &str) -> Result<&bullmq::Queue, Error> {
        self.queues
            .get(name)
            .ok_or_else(|| Error::InvalidConfig(format!("no queue {name:?}")))
    }

    /// The connection for commands and scripts of our own, and for flows.
    pub(super) fn redis(&self) -> &RedisConnection {
        &self.redis
    }
}

/// The connection and its breaker.
pub(super) struct Link {
    options: BullOptions,
    conn: RwLock<Option<Arc<Conn>>>,
    breaker: Mutex<Breaker>,
    /// Whether Redis answers, for those who wait until it does.
    up: watch::Sender<bool>,
    /// Whether the first connection was made, or failed.
    tried: watch::Sender<bool>,
    broken: Notify,
    start: Instant,
}

impl Link {
    pub(super) fn new(options: BullOptions) -> Self {
        let mut breaker = Breaker::new(BreakerConfig::default());
        // It has not answered yet.
        breaker.trip(Timestamp::ZERO);
        Self {
            options,
            conn: RwLock::new(None),
            breaker: Mutex::new(breaker),
            up: watch::channel(false).0,
            tried: watch::channel(false).0,
            broken: Notify::new(),
            start: Instant::now(),
        }
    }

    /// Milliseconds since the link was made: a clock that nobody sets.
    fn now(&self) -> Timestamp {
        Timestamp(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until Redis answers, at most this long.
    pub(super) async fn until_up(&self, longest: Duration) {
        let mut up = self.up.subscribe();
        // The sender lives as long as the link; after the time the caller's own call tells.
        let _ = tokio::time::timeout(longest, up.wait_for(|up| *up)).await;
    }

    fn conn(&self) -> Option<Arc<Conn>> {
        let conn = self.conn.read().unwrap_or_else(PoisonError::into_inner);
        conn.clone()
    }

    fn replace(&self, conn: Option<Arc<Conn>>) {
        self.up.send_replace(conn.is_some());
        *self.conn.write().unwrap_or_else(PoisonError::into_inner) = conn;
    }

    /// Asks Redis for a request: never longer than the hard timeout, and not at all while the
    /// breaker is open. What timed out may have been done all the same.
    ///
    /// # Errors
    /// [`QueueError::Unreachable`] when it or the connection failed, [`QueueError::NoRoom`] when
    /// it has no memory left, [`QueueError::Store`] for what it refused otherwise.
    pub(super) async fn ask<T, F>(&self, ask: impl FnOnce(Arc<Conn>) -> F) -> Result<T, QueueError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.ask_within(self.options.hard, ask).await
    }

    /// The same for a worker, with a time limit of its own.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) async fn ask_within<T, F>(
        &self,
        longest: Duration,
        ask: impl FnOnce(Arc<Conn>) -> F,
    ) -> Result<T, QueueError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let conn = self.conn().filter(|_| self.breaker().is_closed());
        let Some(conn) = conn else {
            return Err(unreachable("it is not asked until it answers again"));
        };
        let answer = match tokio::time::timeout(longest, ask(conn)).await {
            Ok(answer) => answer.map_err(|error| refused(&error)),
            Err(_) => Err(late(longest)),
        };
        match &answer {
            Err(QueueError::Unreachable(_)) => self.failed(),
            _ => self.breaker().succeeded(),
        }
        answer
    }

    /// A whole request that asks several times: never longer than the hard timeout either.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) async fn within<T>(
        &self,
        request: impl Future<Output = Result<T, QueueError>>,
    ) -> Result<T, QueueError> {
        match tokio::time::timeout(self.options.hard, request).await {
            Ok(answer) => answer,
            Err(_) => {
                self.failed();
                Err(late(self.options.hard))
            }
        }
    }

    /// Whether Redis is asked at all.
    pub(super) fn is_up(&self) -> bool {
        self.breaker().is_closed()
    }

    fn failed(&self) {
        let now = self.now();
        let mut breaker = self.breaker();
        breaker.failed(now);
        let open = !breaker.is_closed();
        drop(breaker);
        if open {
            self.replace(None);
            self.broken.notify_one();
        }
    }

    /// Connects and stays connected; ends only with its task. `connected` is told of every
    /// connection before it is used.
    pub(super) async fn keep<F: Future<Output = ()>>(&self, connected: impl Fn(Arc<Conn>) -> F) {
        loop {
            let probe_at = self.breaker().next_deadline();
            let wait = probe_at.map_or(0, |at| at.ms_since(self.now()));
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let now = self.now();
            if !self.breaker().probe(now) {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
            match self.connect().await {
                Ok(conn) => {
                    let conn = Arc::new(conn);
                    connected(Arc::clone(&conn)).await;
                    self.breaker().succeeded();
                    self.replace(Some(conn));
                    self.tried.send_replace(true);
                    tracing::info!("the shared queue is connected");
                    self.beat().await;
                    tracing::warn!("the connection of the shared queue is lost");
                    let now = self.now();
                    self.breaker().trip(now);
                    self.replace(None);
                }
                Err(error) => {
                    tracing::warn!(%error, "the shared queue cannot be reached");
                    let now = self.now();
                    self.breaker().failed(now);
                    self.tried.send_replace(true);
                }
            }
        }
    }

    /// Waits until Redis was asked for the first time, whatever it said: a few of its timeouts at
    /// most.
    pub(super) async fn tried(&self) {
        // The sender lives as long as the link.
        let _ = self.tried.subscribe().wait_for(|tried| *tried).await;
    }

    /// Asks for signs of life until there is none, or until a request found none.
    async fn beat(&self) {
        loop {
            if tokio::time::timeout(BEAT, self.broken.notified())
                .await
                .is_ok()
            {
                return;
            }
            // A failure counts: when there are enough of them, this is told as requests are.
            let asked = self.ask(|conn| async move { conn.redis().ping().await });
            let _ = asked.await;
        }
    }

    async fn connect(&self) -> Result<Conn, QueueError> {
        // Several round trips, and the first after a restart may wait for a file to be read.
        let longest = self.options.hard * 4;
        let made = tokio::time::timeout(longest, self.make()).await;
        made.map_err(|_| late(longest))?
            .map_err(|error| refused(&error))
    }

    async fn make(&self) -> Result<Conn, Error> {
        let connection = connection_options(&self.options);
        let redis = RedisConnection::new_managed_only(&connection).await?;
        redis.ping().await?;
        let mut queues = HashMap::new();
        for name in self.options.queues() {
            let options = QueueOptions::new().prefix(self.options.prefix.as_str());
            let queue = bullmq::Queue::with_connection(name, redis.clone(), options).await?;
            queues.insert(name.into(), queue);
        }
        Ok(Conn { redis, queues })
    }
}

/// How BullMQ's workers and listeners connect.
pub(super) fn connection_options(options: &BullOptions) -> RedisConnectionOptions {
    RedisConnectionOptions::new().url(options.url.as_str())
}

fn late(longest: Duration) -> QueueError {
    unreachable(&format!("no answer within {} ms", longest.as_millis()))
}

pub(super) fn unreachable(why: &str) -> QueueError {
    QueueError::Unreachable(format!("Redis: {why}").into())
}

/// What BullMQ's error means to a caller.
pub(super) fn refused(error: &Error) -> QueueError {
    let Error::Redis(redis) = error else {
        return QueueError::Store(error.to_string().into());
    };
    match redis.code() {
        Some("OOM") => QueueError::NoRoom(redis.to_string().into()),
        // It is there but cannot be written, for now: as good as away.
        Some("LOADING" | "MISCONF" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN")
        | None => unreachable(&redis.to_string()),
        Some(_) => QueueError::Store(redis.to_string().into()),
    }
}
