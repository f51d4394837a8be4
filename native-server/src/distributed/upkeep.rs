//! Keeps the connection: makes it, listens to it, asks for signs of life, makes it anew.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{PushInfo, PushKind, Value};

use super::{Counters, Distributed, LinkError, keys::Tracked};

/// Signs of life in the time of a lease, count.
const BEATS: u64 = 4;
/// How long a server is listed after its last sign of life, ms.
const NODE_MS: u64 = 10_000;
/// Time between two entries in the list of servers, ms.
const NODE_EVERY_MS: u64 = 2000;

impl Distributed {
    /// Connects and stays connected; ends only with its task.
    pub async fn run(self: Arc<Self>) {
        let generation = Arc::new(AtomicU64::new(0));
        loop {
            let wait = self
                .link
                .next_probe()
                .map_or(0, |at| at.ms_since(self.link.now()));
            tokio::time::sleep(Duration::from_millis(wait)).await;
            if !self.link.probe() {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
            let mine = generation.fetch_add(1, Ordering::AcqRel) + 1;
            let current = Arc::clone(&generation);
            let connected = self
                .resync(move || current.load(Ordering::Acquire) == mine)
                .await;
            match connected {
                Ok(sent) => {
                    tracing::info!(sent, "Redis is connected");
                    if mine > 1 {
                        Counters::add(&self.link.counters.reconnects);
                    }
                    self.link.probed(true);
                    self.tried.send_replace(true);
                    self.beat().await;
                    tracing::warn!("the connection to Redis is lost");
                    self.link.trip();
                }
                Err(error) => {
                    tracing::warn!(%error, "Redis cannot be reached");
                    self.link.probed(false);
                    self.tried.send_replace(true);
                }
            }
        }
    }

    /// Waits until Redis was asked for the first time, whatever it said: a few of its timeouts at
    /// most.
    pub async fn tried(&self) {
        // The sender lives as long as self.
        let _ = self.tried.subscribe().wait_for(|tried| *tried).await;
    }

    /// Connects, listens, forgets the copies that may have missed messages, and sends what waits.
    async fn resync(
        self: &Arc<Self>,
        current: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<usize, LinkError> {
        let weak = Arc::downgrade(self);
        let pushed = move |info: PushInfo| {
            if current() {
                take(&weak, &info);
            }
            Ok(())
        };
        self.link.connect(pushed).await?;
        let mut pipe = redis::pipe();
        let tracking = pipe.cmd("CLIENT").arg("TRACKING").arg("ON").arg("BCAST");
        let tracking = tracking.arg("PREFIX").arg(self.keys.tracked_prefix());
        tracking.arg("NOLOOP").ignore();
        pipe.cmd("CLIENT")
            .arg("SETNAME")
            .arg(&self.config.node)
            .ignore();
        pipe.cmd("TIME");
        let sent_at = self.link.now();
        let (time,) = self.link.send(&pipe).await?;
        self.link.saw_time(sent_at, time);
        self.forget_all();
        Counters::add(&self.counters.resyncs);
        self.synced(sent_at);
        self.register().await?;
        self.flush().await
    }

    /// Signs of life until one fails or the connection breaks.
    async fn beat(&self) {
        let every = Duration::from_millis((self.config.lease_ms / BEATS).max(1));
        let mut registered = self.link.now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = self.waiting.notified() => {
                    if self.flush().await.is_err() {
                        return;
                    }
                    continue;
                }
                () = self.link.broken.notified() => {
                    if !self.link.is_closed() {
                        return;
                    }
                }
            }
            let sent = self.link.now();
            let mut pipe = redis::pipe();
            pipe.cmd("TIME");
            let began = tokio::time::Instant::now();
            let Ok((time,)) = self.link.send(&pipe).await else {
                return;
            };
            self.link.saw_time(sent, time);
            let lag = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.link.counters.lag_us.store(lag, Ordering::Relaxed);
            self.synced(sent);
            if !self.replay().is_empty() && self.flush().await.is_err() {
                return;
            }
            if sent.ms_since(registered) >= NODE_EVERY_MS {
                registered = sent;
                if self.register().await.is_err() {
                    return;
                }
            }
        }
    }

    /// Enters this server in the list.
    async fn register(&self) -> Result<(), LinkError> {
        let mut pipe = redis::pipe();
        let node = &self.config.node;
        pipe.cmd("SADD").arg(self.keys.nodes()).arg(node).ignore();
        let set = pipe
            .cmd("SET")
            .arg(self.keys.node(node))
            .arg(&self.config.address);
        set.arg("PX").arg(NODE_MS).ignore();
        self.link.send(&pipe).await
    }
}

/// Takes a message of Redis. It runs where the answers are read, so it waits for nothing.
fn take(cache: &Weak<Distributed>, info: &PushInfo) {
    let Some(cache) = cache.upgrade() else {
        return;
    };
    match info.kind {
        PushKind::Disconnection => cache.link.trip(),
        PushKind::Invalidate => match info.data.first() {
            Some(Value::Array(names)) => names.iter().for_each(|name| cache.changed(name)),
            // Redis was emptied.
            _ => cache.forget_all(),
        },
        _ => {}
    }
}

impl Distributed {
    fn changed(&self, name: &Value) {
        Counters::add(&self.counters.invalidations);
        let name: Option<&str> = match name {
            Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
            Value::SimpleString(text) => Some(text),
            _ => None,
        };
        match name.and_then(|name| self.keys.tracked(name)) {
            Some(Tracked::Value(_, key)) => {
                self.coherence().changed(key);
                // What waits to be sent is newer than what changed.
                if self.replay().get(key).is_none() {
                    self.local.remove(self.now(), key);
                }
            }
            Some(Tracked::Barrier(tag)) => {
                self.drop_tag(tag);
            }
            Some(Tracked::Epoch) => self.forget_all(),
            None => {}
        }
    }
}
