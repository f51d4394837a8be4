//! The connection to Redis and its breaker: commands with a time limit, and who is told when it
//! fails.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, ProtocolVersion, PushInfo,
    RedisResult, aio::MultiplexedConnection,
};
use rustix::time::{ClockId, Timespec};
use sommos_core::{
    distributed::{Breaker, BreakerState, StoreClock},
    time::Timestamp,
};
use tokio::{sync::Notify, time::Instant};

use super::config::DistributedConfig;

/// Why Redis gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// It failed before and is not asked until it answers again.
    #[error("Redis is not asked until it answers again")]
    Open,
    /// It took longer than the hard timeout.
    #[error("Redis did not answer within {0} ms")]
    Timeout(u128),
    /// A key has a value that this program did not write.
    #[error("Redis has something else under this name")]
    Foreign,
    /// It or the connection failed.
    #[error("Redis failed: {0}")]
    Failed(String),
}

/// Counters of the connection.
#[derive(Debug, Default)]
pub(super) struct LinkCounters {
    /// Connections that were made after the first.
    pub reconnects: AtomicU64,
    /// Commands that took too long.
    pub timeouts: AtomicU64,
    /// Commands that failed otherwise.
    pub failures: AtomicU64,
    /// Round trip of the last sign of life, µs.
    pub lag_us: AtomicU64,
}

/// The connection.
pub(super) struct Link {
    client: Client,
    hard: Duration,
    connection: RwLock<Option<MultiplexedConnection>>,
    breaker: Mutex<Breaker>,
    /// Whether it is closed, and whether it is calm: read by every request, not behind the lock.
    closed: AtomicBool,
    calm: AtomicBool,
    /// Notified when the connection must be made anew.
    pub(super) broken: Notify,
    pub(super) counters: LinkCounters,
    start: Instant,
    coarse: CoarseClock,
    store_clock: Mutex<StoreClock>,
}

/// The system's clock of ticks: read without a look at the hardware.
struct CoarseClock {
    start_ms: u64,
    tick_ms: u64,
}

impl CoarseClock {
    fn new() -> Self {
        let tick = rustix::time::clock_getres(ClockId::MonotonicCoarse);
        Self {
            start_ms: Self::read_ms(),
            tick_ms: ms(tick) + 1,
        }
    }

    fn read_ms() -> u64 {
        ms(rustix::time::clock_gettime(ClockId::MonotonicCoarse))
    }

    /// Never less than what has passed.
    fn elapsed_ms(&self) -> u64 {
        Self::read_ms().saturating_sub(self.start_ms) + self.tick_ms
    }
}

fn ms(time: Timespec) -> u64 {
    let ms = time.tv_sec.saturating_mul(1000) + time.tv_nsec / 1_000_000;
    u64::try_from(ms).unwrap_or(0)
}

/// One command, or several in one question.
pub(super) trait Question: Sync {
    fn put<T: FromRedisValue>(
        &self,
        to: &mut MultiplexedConnection,
    ) -> impl Future<Output = RedisResult<T>> + Send;
}

impl Question for Cmd {
    async fn put<T: FromRedisValue>(&self, to: &mut MultiplexedConnection) -> RedisResult<T> {
        // As `query_async`, without a box for the future.
        let value = to.send_packed_command(self).await?;
        Ok(redis::from_redis_value(value.extract_error()?)?)
    }
}

impl Question for Pipeline {
    async fn put<T: FromRedisValue>(&self, to: &mut MultiplexedConnection) -> RedisResult<T> {
        self.query_async(to).await
    }
}

impl Link {
    pub(super) fn new(config: &DistributedConfig) -> Result<Self, LinkError> {
        let failed = |error: redis::RedisError| LinkError::Failed(error.to_string());
        let client = Client::open(config.url.as_str()).map_err(failed)?;
        let info = client.get_connection_info().clone();
        let settings = info.redis_settings().clone();
        let settings = settings.set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings)).map_err(failed)?;
        let mut breaker = Breaker::new(config.breaker);
        // It has not answered yet.
        breaker.trip(Timestamp::ZERO);
        Ok(Self {
            client,
            hard: config.hard,
            connection: RwLock::new(None),
            breaker: Mutex::new(breaker),
            closed: AtomicBool::new(false),
            calm: AtomicBool::new(false),
            broken: Notify::new(),
            counters: LinkCounters::default(),
            start: Instant::now(),
            coarse: CoarseClock::new(),
            store_clock: Mutex::default(),
        })
    }

    /// Milliseconds since the link was made: a clock that nobody sets.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// As [`Self::now`], at a fifth of its cost, and later by two ticks of the system at most.
    pub(super) fn now_coarse(&self) -> Timestamp {
        Timestamp(self.coarse.elapsed_ms())
    }

    /// What is left of the hard timeout of what began at `since`, by [`Self::now`] or
    /// [`Self::now_coarse`]; up to two ticks of the system less.
    pub(super) fn left(&self, since: Timestamp) -> Duration {
        let gone = Duration::from_millis(self.now_coarse().ms_since(since));
        self.hard.saturating_sub(gone)
    }

    /// What is known of Redis' clock.
    pub(super) fn store_clock(&self) -> StoreClock {
        *self
            .store_clock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Redis answered TIME, asked at `asked`.
    pub(super) fn saw_time(&self, asked: Timestamp, (seconds, micros): (u64, u64)) {
        let showed = Timestamp(seconds.saturating_mul(1000).saturating_add(micros / 1000));
        let seen = StoreClock::seen(asked, self.now(), showed);
        *self
            .store_clock
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = seen;
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the breaker, and what is read of it without its lock.
    fn change<T>(&self, how: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = self.breaker();
        let answer = how(&mut breaker);
        self.closed.store(breaker.is_closed(), Ordering::Release);
        self.calm.store(breaker.is_calm(), Ordering::Release);
        answer
    }

    pub(super) fn state(&self) -> BreakerState {
        self.breaker().state()
    }

    pub(super) fn opened(&self) -> u64 {
        // The first time is the start.
        self.breaker().opened().saturating_sub(1)
    }

    /// Whether commands of requests are sent.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether it is time to try a new connection; if so, the caller must say how it went.
    pub(super) fn probe(&self) -> bool {
        let now = self.now();
        self.change(|breaker| breaker.probe(now))
    }

    pub(super) fn next_probe(&self) -> Option<Timestamp> {
        self.breaker().next_deadline()
    }

    pub(super) fn probed(&self, ok: bool) {
        let now = self.now();
        self.change(|breaker| match ok {
            true => breaker.succeeded(),
            false => breaker.failed(now),
        });
    }

    /// The connection is gone: nothing is sent until another is made.
    pub(super) fn trip(&self) {
        let now = self.now();
        self.change(|breaker| breaker.trip(now));
        self.replace(None);
        self.broken.notify_one();
    }

    fn replace(&self, connection: Option<MultiplexedConnection>) {
        *self
            .connection
            .write()
            .unwrap_or_else(PoisonError::into_inner) = connection;
    }

    /// Makes a connection and keeps it; `pushed` gets what Redis tells unasked, in the order of
    /// its answers.
    pub(super) async fn connect(
        &self,
        pushed: impl Fn(PushInfo) -> Result<(), std::convert::Infallible> + Send + Sync + 'static,
    ) -> Result<(), LinkError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.hard))
            // `send` has its own, over all that it waits for.
            .set_response_timeout(None)
            .set_push_sender(pushed);
        let made = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let connection = tokio::time::timeout(2 * self.hard, made)
            .await
            .map_err(|_| LinkError::Timeout(2 * self.hard.as_millis()))?
            .map_err(|error| LinkError::Failed(error.to_string()))?;
        self.replace(Some(connection));
        Ok(())
    }

    /// Sends commands for a request: refused while the breaker is open.
    ///
    /// # Errors
    /// [`LinkError`]; never later than the hard timeout.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        question: &impl Question,
    ) -> Result<T, LinkError> {
        self.ask_within(question, self.hard).await
    }

    /// As [`Self::ask`], within `limit`.
    pub(super) async fn ask_within<T: FromRedisValue>(
        &self,
        question: &impl Question,
        limit: Duration,
    ) -> Result<T, LinkError> {
        if !self.is_closed() {
            return Err(LinkError::Open);
        }
        let answer = self.send_within(question, limit).await;
        match &answer {
            Ok(_) | Err(LinkError::Foreign) => self.succeeded(),
            Err(_) => self.failed(),
        }
        answer
    }

    fn succeeded(&self) {
        // Nothing to forgive: not behind the lock.
        if self.calm.load(Ordering::Acquire) {
            return;
        }
        self.change(Breaker::succeeded);
    }

    fn failed(&self) {
        let now = self.now();
        self.change(|breaker| breaker.failed(now));
        if !self.is_closed() {
            self.replace(None);
            self.broken.notify_one();
        }
    }

    /// Sends commands whatever the breaker says: for its probe.
    pub(super) async fn send<T: FromRedisValue>(
        &self,
        question: &impl Question,
    ) -> Result<T, LinkError> {
        self.send_within(question, self.hard).await
    }

    async fn send_within<T: FromRedisValue>(
        &self,
        question: &impl Question,
        limit: Duration,
    ) -> Result<T, LinkError> {
        let connection = self
            .connection
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(mut connection) = connection else {
            return Err(LinkError::Open);
        };
        let counters = &self.counters;
        let timed_out = || {
            counters.timeouts.fetch_add(1, Ordering::Relaxed);
            LinkError::Timeout(limit.as_millis())
        };
        let put = std::pin::pin!(question.put(&mut connection));
        match tokio::time::timeout(limit, put).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_timeout() => Err(timed_out()),
            Ok(Err(error)) if error.code() == Some("WRONGTYPE") => Err(LinkError::Foreign),
            Ok(Err(error)) => {
                counters.failures.fetch_add(1, Ordering::Relaxed);
                Err(LinkError::Failed(error.to_string()))
            }
            Err(_) => Err(timed_out()),
        }
    }
}
