//! The cache of several servers: Redis between them, and copies of it in each.
//!
//! Redis tells which keys changed (client tracking, RESP3), and [`sommos_core::distributed`]
//! decides which copies may be kept. A request never waits longer than the hard timeout, and none
//! fails because Redis does.

mod config;
mod gather;
mod keys;
mod link;
mod lock;
mod members;
mod rate;
mod reads;
mod stats;
mod upkeep;
mod writes;

pub use config::{DistributedConfig, OutageWrites, Writes};
pub use link::LinkError;
pub use lock::Lock;
pub use writes::OwnedSet;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use sommos_core::{
    distributed::{Coherence, Flight, Replay, Trust},
    time::Timestamp,
};
use tokio::sync::{Notify, watch};

use crate::{
    cache::ShardedCache,
    gather::Gather,
    queue::{Clock, wall_now},
};
use gather::Reads;
use keys::Keys;
use link::Link;
use members::Known;

/// Stands for an epoch that must be asked for.
const UNKNOWN: u64 = u64::MAX;

/// Counters of the shared cache.
#[derive(Debug, Default)]
struct Counters {
    remote_hits: AtomicU64,
    remote_misses: AtomicU64,
    fallbacks: AtomicU64,
    soft_timeouts: AtomicU64,
    invalidations: AtomicU64,
    resyncs: AtomicU64,
    dropped_writes: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The second level of one server's cache.
pub struct Distributed {
    config: DistributedConfig,
    keys: Keys,
    local: Arc<ShardedCache>,
    /// A clock that somebody moves by hand; the wall clock when there is none.
    clock: Option<Clock>,
    link: Arc<Link>,
    gather: Arc<Gather<Reads>>,
    coherence: Mutex<Coherence>,
    replay: Mutex<Replay>,
    epoch: AtomicU64,
    /// Read on every hit: not behind a lock.
    synced: AtomicU64,
    /// How far [`Self::now`] is ahead of the link's clock, ms, wrapping.
    ahead: AtomicU64,
    counters: Counters,
    /// Notified when changes wait to be sent.
    waiting: Notify,
    /// What the other servers told; held while it is read anew.
    known: tokio::sync::Mutex<Known>,
    /// Whether the first connection was made, or failed.
    tried: watch::Sender<bool>,
}

impl Distributed {
    /// The second level of `local`. Nothing is connected until [`Self::run`] runs. Without a clock
    /// of the caller's own it has the wall clock.
    ///
    /// # Errors
    /// When the address of Redis cannot be read.
    pub fn new(
        config: DistributedConfig,
        local: Arc<ShardedCache>,
        clock: Option<Clock>,
    ) -> Result<Arc<Self>, LinkError> {
        let replay = match config.outage {
            OutageWrites::Drop if config.writes == Writes::Through => Replay::new(0, 0),
            _ => Replay::new(config.replay_max, config.replay_bytes),
        };
        let link = Arc::new(Link::new(&config)?);
        Ok(Arc::new(Self {
            keys: Keys::new(&config.prefix),
            gather: Gather::new(Reads(Arc::clone(&link))),
            link,
            local,
            clock,
            coherence: Mutex::default(),
            replay: Mutex::new(replay),
            epoch: AtomicU64::new(UNKNOWN),
            synced: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
            counters: Counters::default(),
            waiting: Notify::new(),
            known: tokio::sync::Mutex::default(),
            tried: watch::Sender::new(false),
            config,
        }))
    }

    fn coherence(&self) -> MutexGuard<'_, Coherence> {
        // Whole after each of its operations.
        self.coherence
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn replay(&self) -> MutexGuard<'_, Replay> {
        self.replay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the copies may be trusted.
    fn trust(&self) -> Trust {
        self.trust_at(self.link.now_coarse())
    }

    fn trust_at(&self, now: Timestamp) -> Trust {
        let (lease, stale) = (self.config.lease_ms, self.config.stale_ms);
        Trust::at(now, self.synced_at(), lease, stale)
    }

    /// How far the copies may be trusted, and when that was, with one look at the system's clocks.
    fn look(&self) -> Look {
        let since = self.link.now_coarse();
        let ahead = self.ahead.load(Ordering::Acquire);
        let now = match &self.clock {
            None => Timestamp(since.0.wrapping_add(ahead)),
            Some(clock) => clock(),
        };
        Look {
            trust: self.trust_at(since),
            now,
            since,
        }
    }

    /// Redis answered something that was sent at `sent`: whatever changed before that is known.
    fn synced(&self, sent: Timestamp) {
        // The one clock may be set: what is known of it is as old as the copies may be.
        let ahead = self.now().0.wrapping_sub(self.link.now().0);
        self.ahead.store(ahead, Ordering::Release);
        self.synced.fetch_max(sent.0, Ordering::Release);
    }

    /// When messages were last known to be complete.
    fn synced_at(&self) -> Timestamp {
        Timestamp(self.synced.load(Ordering::Acquire))
    }

    fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or_else(wall_now, |clock| clock())
    }

    fn begin<'a>(&'a self, key: &'a str, writes: bool) -> InFlight<'a> {
        let flight = self.coherence().begin(key, writes);
        InFlight {
            cache: self,
            key,
            flight,
            writes,
            landed: false,
        }
    }

    fn known_epoch(&self) -> Option<u64> {
        let known = self.epoch.load(Ordering::Acquire);
        (known != UNKNOWN).then_some(known)
    }

    /// The epoch of the values; asked for when it is not known, for a request since `since`.
    async fn epoch(&self, since: Timestamp) -> Result<u64, LinkError> {
        if let Some(known) = self.known_epoch() {
            return Ok(known);
        }
        let era = self.coherence().era();
        let mut get = redis::cmd("GET");
        get.arg(self.keys.epoch());
        let epoch: Option<u64> = self.link.ask_within(&get, self.link.left(since)).await?;
        let epoch = epoch.unwrap_or(0);
        let coherence = self.coherence();
        if coherence.era() == era {
            self.epoch.store(epoch, Ordering::Release);
        }
        drop(coherence);
        Ok(epoch)
    }

    /// Forgets every copy: something happened that concerns all.
    fn forget_all(&self) {
        let mut coherence = self.coherence();
        coherence.all_changed();
        self.epoch.store(UNKNOWN, Ordering::Release);
        drop(coherence);
        self.local.clear();
    }
}

/// When a read began, and what copies are worth at that time.
#[derive(Clone, Copy)]
struct Look {
    trust: Trust,
    /// [`Distributed::now`], or later by two ticks of the system at most.
    now: Timestamp,
    /// [`Link::now_coarse`].
    since: Timestamp,
}

/// A read or write under way: whoever gives up on it leaves no copy behind.
struct InFlight<'a> {
    cache: &'a Distributed,
    key: &'a str,
    flight: Flight,
    writes: bool,
    landed: bool,
}

impl InFlight<'_> {
    /// Its answer came; whether a copy may be kept.
    fn land(mut self) -> bool {
        self.landed = true;
        self.cache.coherence().land(&self.flight)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        self.cache.coherence().land(&self.flight);
        if self.writes {
            // Whether Redis has it is not known.
            self.cache.local.remove(self.cache.now(), self.key);
        }
    }
}
