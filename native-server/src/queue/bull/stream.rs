//! The stream in which BullMQ tells what happens to a queue's jobs, read in portions.
//!
//! A reader that asks again at once is woken by every event, and Redis has to serve it each time.
//! This one takes what came in the meantime, and no more at once than it can hold.

use std::{collections::HashMap, time::Duration};

use redis::{
    AsyncCommands as _, AsyncConnectionConfig, Client, RedisError, RedisResult,
    aio::MultiplexedConnection,
    streams::{StreamId, StreamReadOptions, StreamReadReply},
};
use tokio::time::{Instant, error::Elapsed, sleep_until, timeout};

use super::options::BullOptions;

/// Longest wait for events in one command, milliseconds.
const BLOCK_MS: u64 = 2000;
/// What a command may take beyond that: a connection that is half open tells of nothing.
const SPARE: Duration = Duration::from_secs(1);
/// Events of one portion at most, count.
const PORTION: usize = 500;
/// Least time between two portions that are not full.
const PACE: Duration = Duration::from_millis(5);
/// Wait before another try to listen.
const AGAIN: Duration = Duration::from_millis(300);

/// One event.
pub(super) struct Entry {
    /// When it happened, by Redis' clock, ms.
    pub(super) at_ms: u64,
    fields: HashMap<String, String>,
}

impl Entry {
    fn new(entry: StreamId) -> Self {
        let ms = entry.id.split('-').next();
        let at_ms = ms.and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let text = |value| redis::from_redis_value::<String>(value).ok();
        let fields = entry.map.into_iter();
        Self {
            at_ms,
            fields: fields
                .filter_map(|(name, value)| Some((name, text(value)?)))
                .collect(),
        }
    }

    /// A field's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// A field's number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }
}

/// Hears what happens to a queue's jobs after the event `last`, over as many connections as it
/// takes; ends only with its task.
pub(super) async fn listen(
    options: &BullOptions,
    queue: &str,
    mut last: String,
    mut hear: impl FnMut(&Entry),
) {
    loop {
        let error = match Stream::open(options, queue, &last).await {
            Ok(mut stream) => loop {
                match stream.next().await {
                    Ok(entries) => entries.iter().for_each(&mut hear),
                    Err(error) => {
                        last = stream.last;
                        break error;
                    }
                }
            },
            Err(error) => error,
        };
        tracing::debug!(queue, %error, "listening again");
        tokio::time::sleep(AGAIN).await;
    }
}

/// A queue's stream, read from an event on.
struct Stream {
    connection: MultiplexedConnection,
    key: String,
    last: String,
    read_at: Instant,
    full: bool,
}

impl Stream {
    /// A connection of its own, for it blocks.
    ///
    /// # Errors
    /// What Redis or the connection said, or that it said nothing.
    async fn open(options: &BullOptions, queue: &str, last: &str) -> RedisResult<Self> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.hard))
            .set_response_timeout(None);
        let client = Client::open(options.url.as_str())?;
        // Its greeting, too, may never be answered.
        let made = client.get_multiplexed_async_connection_with_config(&config);
        let connection = timeout(2 * options.hard, made).await.map_err(silent)??;
        Ok(Self {
            connection,
            key: format!("{}:events", options.base(queue)),
            last: last.to_owned(),
            read_at: Instant::now(),
            // Nothing was read yet: no reason to wait.
            full: true,
        })
    }

    /// The next events, oldest first; none when there were none for a while.
    ///
    /// # Errors
    /// What Redis or the connection said, or that it said nothing: open another.
    async fn next(&mut self) -> RedisResult<Vec<Entry>> {
        if !self.full {
            sleep_until(self.read_at + PACE).await;
        }
        let block = usize::try_from(BLOCK_MS).unwrap_or(usize::MAX);
        let options = StreamReadOptions::default().block(block).count(PORTION);
        let (keys, ids) = ([&self.key], [&self.last]);
        let read = self.connection.xread_options(&keys, &ids, &options);
        let read = timeout(Duration::from_millis(BLOCK_MS) + SPARE, read).await;
        let reply: Option<StreamReadReply> = read.map_err(silent)??;
        self.read_at = Instant::now();
        let streams = reply.into_iter().flat_map(|reply| reply.keys);
        let entries: Vec<StreamId> = streams.flat_map(|stream| stream.ids).collect();
        self.full = entries.len() >= PORTION;
        if let Some(newest) = entries.last() {
            self.last.clone_from(&newest.id);
        }
        Ok(entries.into_iter().map(Entry::new).collect())
    }
}

fn silent(_: Elapsed) -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
