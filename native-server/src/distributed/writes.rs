//! Writes: to Redis and into this server's copies, or into the log of changes that wait.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use sommos_core::{
    cache::Freshness,
    distributed::{Change, SharedEntry, Tag},
    time::Timestamp,
    wire::{ApiError, cache::CacheSet, envelope},
};

use super::{
    Counters, Distributed, InFlight, LinkError, OutageWrites, Writes,
    keys::{RAISE_BARRIER, TTL_MAX_MS},
};

/// Changes sent in one question.
const BATCH: usize = 256;
/// Keys looked at in one step of a sweep.
const SWEEP: usize = 500;

/// A set that outlives its request's body.
#[derive(Debug, Clone)]
pub struct OwnedSet {
    key: Box<str>,
    value: Box<str>,
    ttl_ms: u64,
    stale_ms: u64,
    tags: Vec<Box<str>>,
}

impl OwnedSet {
    /// The same set; `default_ttl_ms` when it does not say how long it lives.
    #[must_use]
    pub fn new(set: &CacheSet<'_>, default_ttl_ms: u64) -> Self {
        let ttl_ms = set.ttl_ms.unwrap_or(default_ttl_ms).min(TTL_MAX_MS);
        Self {
            key: (&*set.key).into(),
            value: set.value.into(),
            ttl_ms,
            stale_ms: set.stale_ttl_ms.unwrap_or(0).min(TTL_MAX_MS - ttl_ms),
            tags: set.tags.iter().map(|tag| (&**tag).into()).collect(),
        }
    }

    fn as_set(&self) -> CacheSet<'_> {
        CacheSet {
            key: Cow::Borrowed(&self.key),
            value: &self.value,
            ttl_ms: Some(self.ttl_ms),
            stale_ttl_ms: (self.stale_ms > 0).then_some(self.stale_ms),
            tags: self.tags.iter().map(|tag| Cow::Borrowed(&**tag)).collect(),
        }
    }

    /// As an entry that lives until `until` by Redis' clock.
    fn encode(
        &self,
        now: Timestamp,
        until: Timestamp,
        barriers: &[u64],
        pack_from: usize,
    ) -> Vec<u8> {
        let tags = self.tags.iter().zip(barriers);
        let entry = SharedEntry {
            value: Cow::Borrowed(&self.value),
            stale_ms: self.stale_ms,
            fresh_until: now.plus_ms(self.ttl_ms),
            until,
            tags: tags.map(|(name, &barrier)| Tag { name, barrier }).collect(),
        };
        entry.encode(pack_from)
    }
}

impl Distributed {
    /// Sets values, in one question to Redis.
    ///
    /// # Errors
    /// `TOO_LARGE` for a value over the limits; then none is set.
    pub async fn set_many(&self, sets: &[OwnedSet]) -> Result<(), ApiError> {
        for set in sets {
            self.local.check(&set.as_set())?;
        }
        for part in sets.chunks(BATCH) {
            let through = self.config.writes == Writes::Through && self.link.is_closed();
            if !through || self.write(part).await.is_err() {
                part.iter().for_each(|set| self.defer_set(set));
            }
        }
        Ok(())
    }

    async fn write(&self, sets: &[OwnedSet]) -> Result<(), LinkError> {
        let now = self.now();
        let since = self.link.now();
        let epoch = self.epoch(since).await?;
        let names: Vec<&str> = sets
            .iter()
            .flat_map(|set| set.tags.iter().map(|t| &**t))
            .collect();
        let mut barriers = &self.barriers(&names, since).await?[..];
        // What still waits was made before this, so it must be sent before this.
        if self.waits() {
            return Err(LinkError::Open);
        }
        let flights: Vec<_> = sets.iter().map(|set| self.begin(&set.key, true)).collect();
        let store_now = self.link.store_clock().earliest(self.link.now());
        let mut pipe = redis::pipe();
        for set in sets {
            let (own, rest) = barriers.split_at(set.tags.len());
            barriers = rest;
            let until = store_now.plus_ms(set.ttl_ms + set.stale_ms);
            let entry = set.encode(now, until, own, self.config.pack_from);
            let cmd = pipe.cmd("SET").arg(self.keys.value(epoch, &set.key));
            cmd.arg(entry).arg("PXAT").arg(until.0).ignore();
        }
        let () = self.link.ask_within(&pipe, self.link.left(since)).await?;
        for (set, flight) in sets.iter().zip(flights) {
            let answer = Bytes::from(envelope::raw_data(set.value.as_bytes()));
            self.keep(flight, now, &set.as_set(), answer);
        }
        Ok(())
    }

    /// Whether changes wait to be sent.
    fn waits(&self) -> bool {
        !self.replay().is_empty()
    }

    /// Keeps a set here and in the log, or gives it up, as configured.
    fn defer_set(&self, set: &OwnedSet) {
        let now = self.now();
        if !self.defers() {
            self.local.remove(now, &set.key);
            return;
        }
        let known: Vec<u64> = vec![0; set.tags.len()];
        // Until when it lives is known when it is sent.
        let entry = Arc::from(set.encode(now, Timestamp::ZERO, &known, usize::MAX));
        let ttl_ms = set.ttl_ms + set.stale_ms;
        let key = set.key.clone();
        // Reads on their way bring an older value.
        let flight = self.begin(&set.key, true);
        let mut replay = self.replay();
        replay.push(self.link.now(), Change::Set { key, entry, ttl_ms });
        // Under the lock: another set of the key must not come between.
        // Checked before: it fits.
        let _ = self.local.set(now, &set.as_set());
        drop(replay);
        flight.land();
        self.waiting.notify_one();
    }

    /// Whether a change that cannot be sent now is kept; counts it if not.
    fn defers(&self) -> bool {
        let keeps = self.config.outage == OutageWrites::Replay
            || (self.config.writes == Writes::Behind && self.link.is_closed());
        if !keeps {
            Counters::add(&self.counters.dropped_writes);
        }
        keeps
    }

    fn defer(&self, change: Change) {
        if self.defers() {
            self.replay().push(self.link.now(), change);
            self.waiting.notify_one();
        }
    }

    /// Removes a value; whether there was a live one.
    pub async fn remove(&self, key: &str) -> bool {
        let now = self.now();
        let pending = matches!(self.pending(key), Some(Some((_, Freshness::Fresh))));
        let flight = self.begin(key, true);
        let here = self.local.remove(now, key) || pending;
        let through = self.config.writes == Writes::Through && !self.waits();
        if through && let Ok(there) = self.unlink(flight, now).await {
            return here || there;
        }
        self.defer(Change::Remove { key: key.into() });
        here
    }

    async fn unlink(&self, flight: InFlight<'_>, now: Timestamp) -> Result<bool, LinkError> {
        let since = self.link.now();
        let epoch = self.epoch(since).await?;
        let name = self.keys.value(epoch, flight.key);
        let mut pipe = redis::pipe();
        pipe.cmd("GETDEL").arg(&name);
        let store_now = self.store_now();
        let (bytes,): (Option<Vec<u8>>,) =
            self.link.ask_within(&pipe, self.link.left(since)).await?;
        self.local.remove(now, flight.key);
        flight.land();
        let entry = bytes
            .as_deref()
            .map(|b| SharedEntry::decode(b, self.config.value_max));
        let Some(Ok(entry)) = entry else {
            return Ok(false);
        };
        Ok(entry.times_left(now, store_now).0 > 0)
    }

    /// Makes the values with this tag invalid; how many copies there were here.
    pub async fn invalidate_tag(&self, tag: &str) -> usize {
        let count = self.drop_tag(tag);
        let behind = self.config.writes == Writes::Behind || self.waits();
        if behind || self.raise_barrier(tag).await.is_err() {
            self.defer(Change::InvalidateTag { tag: tag.into() });
        }
        count
    }

    /// Forgets the copies with a tag; how many.
    pub(super) fn drop_tag(&self, tag: &str) -> usize {
        self.coherence().tag_changed(tag);
        self.local.invalidate_tag(self.now(), tag)
    }

    async fn raise_barrier(&self, tag: &str) -> Result<(), LinkError> {
        let mut pipe = redis::pipe();
        let eval = pipe.cmd("EVAL").arg(RAISE_BARRIER).arg(1);
        eval.arg(self.keys.barrier(tag)).arg(TTL_MAX_MS).ignore();
        let () = self.link.ask(&pipe).await?;
        // What was read between the first time and now may be older than the barrier.
        self.drop_tag(tag);
        Ok(())
    }

    /// Removes everything; how many copies there were here.
    pub async fn clear(self: &Arc<Self>) -> usize {
        let count = self.local.len();
        self.forget_all();
        let raised = match self.config.writes {
            Writes::Through if !self.waits() => self.raise_epoch().await,
            Writes::Through | Writes::Behind => Err(LinkError::Open),
        };
        match raised {
            Ok(epoch) => {
                tokio::spawn(Arc::clone(self).sweep(epoch - 1));
            }
            Err(_) => self.defer(Change::Clear),
        }
        count
    }

    async fn raise_epoch(&self) -> Result<u64, LinkError> {
        let mut pipe = redis::pipe();
        pipe.cmd("INCR").arg(self.keys.epoch());
        let (epoch,): (u64,) = self.link.ask(&pipe).await?;
        self.forget_all();
        Ok(epoch)
    }

    /// Removes the values of an epoch that is over, so that they do not take room until their time
    /// ends. Nobody reads them, so nothing depends on how far it comes.
    async fn sweep(self: Arc<Self>, epoch: u64) {
        let mut cursor = 0;
        loop {
            let mut pipe = redis::pipe();
            let scan = pipe.cmd("SCAN").arg(cursor).arg("MATCH");
            scan.arg(self.keys.values(epoch)).arg("COUNT").arg(SWEEP);
            let found: Result<((u64, Vec<String>),), _> = self.link.ask(&pipe).await;
            let Ok(((next, names),)) = found else {
                return;
            };
            if !names.is_empty() {
                let mut pipe = redis::pipe();
                pipe.cmd("UNLINK").arg(names).ignore();
                let removed: Result<(), _> = self.link.ask(&pipe).await;
                if removed.is_err() {
                    return;
                }
            }
            if next == 0 {
                return;
            }
            cursor = next;
        }
    }

    /// Sends what waits, oldest first, in batches; gives how many.
    pub(super) async fn flush(&self) -> Result<usize, LinkError> {
        let mut total = 0;
        loop {
            let batch = self.replay().batch(self.link.now(), BATCH);
            if batch.is_empty() {
                return Ok(total);
            }
            // What follows a clear belongs to another epoch.
            let clear = batch
                .iter()
                .position(|(_, change)| *change == Change::Clear);
            let part = &batch[..clear.map_or(batch.len(), |at| at.max(1))];
            self.send_changes(part).await?;
            let mut replay = self.replay();
            part.iter().for_each(|(seq, _)| replay.sent(*seq));
            total += part.len();
        }
    }

    async fn send_changes(&self, part: &[(u64, Change)]) -> Result<(), LinkError> {
        if let [(_, Change::Clear)] = part {
            let mut pipe = redis::pipe();
            pipe.cmd("INCR").arg(self.keys.epoch());
            let (epoch,): (u64,) = self.link.send(&pipe).await?;
            self.coherence().all_changed();
            self.epoch
                .store(epoch, std::sync::atomic::Ordering::Release);
            return Ok(());
        }
        let mut pipe = redis::pipe();
        pipe.cmd("GET").arg(self.keys.epoch());
        let (epoch,): (Option<u64>,) = self.link.send(&pipe).await?;
        let epoch = epoch.unwrap_or(0);
        let mut pipe = redis::pipe();
        let mut flights = Vec::new();
        for (_, change) in part {
            match change {
                Change::Set { key, entry, ttl_ms } => {
                    flights.push(self.begin(key, true));
                    let store_now = self.link.store_clock().earliest(self.link.now());
                    let until = store_now.plus_ms(*ttl_ms);
                    let entry = self.written_now(entry, until).await?;
                    let cmd = pipe.cmd("SET").arg(self.keys.value(epoch, key));
                    cmd.arg(entry).arg("PXAT").arg(until.0).ignore();
                }
                Change::Remove { key } => {
                    flights.push(self.begin(key, true));
                    pipe.cmd("UNLINK").arg(self.keys.value(epoch, key)).ignore();
                }
                Change::InvalidateTag { tag } => {
                    let eval = pipe.cmd("EVAL").arg(RAISE_BARRIER).arg(1);
                    eval.arg(self.keys.barrier(tag)).arg(TTL_MAX_MS).ignore();
                }
                Change::Clear => {}
            }
        }
        let () = self.link.send(&pipe).await?;
        for flight in flights {
            let key = flight.key;
            if !flight.land() {
                self.local.remove(self.now(), key);
            }
        }
        Ok(())
    }

    /// An entry of the log with its end and the barriers that its tags have now: it counts as
    /// written now.
    async fn written_now(&self, entry: &[u8], until: Timestamp) -> Result<Vec<u8>, LinkError> {
        let broken =
            |error: sommos_core::distributed::EntryError| LinkError::Failed(error.to_string());
        let mut entry = SharedEntry::decode(entry, self.config.value_max).map_err(broken)?;
        entry.until = until;
        if !entry.tags.is_empty() {
            let mut pipe = redis::pipe();
            let names: Vec<_> = entry
                .tags
                .iter()
                .map(|t| self.keys.barrier(t.name))
                .collect();
            pipe.cmd("MGET").arg(names);
            let (barriers,): (Vec<Option<u64>>,) = self.link.send(&pipe).await?;
            for (tag, barrier) in entry.tags.iter_mut().zip(barriers) {
                tag.barrier = barrier.unwrap_or(0);
            }
        }
        Ok(entry.encode(self.config.pack_from))
    }
}
