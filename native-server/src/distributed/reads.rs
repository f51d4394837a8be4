//! Reads: a trusted copy, else Redis, else a copy within the bound.

use bytes::Bytes;
use sommos_core::{
    cache::Freshness,
    distributed::{Change, SharedEntry, Trust},
    time::Timestamp,
    wire::{cache::CacheSet, envelope},
};

use super::{Counters, Distributed, InFlight, LinkError, Look, gather::Read};

/// The answer of a get.
pub(super) type Found = (Bytes, Freshness);

impl Distributed {
    /// The whole answer of a get.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        let look = self.look();
        let has_copy = match look.trust {
            Trust::Fresh => match self.local.get_stale(look.now, key) {
                Some((hit, Freshness::Fresh)) => return Some(hit),
                stale => stale.is_some(),
            },
            Trust::Bounded => self.local.peek(look.now, key).is_some(),
            Trust::None => false,
        };
        let (answer, freshness) = Box::pin(self.fetch(key, look, has_copy)).await?;
        (freshness == Freshness::Fresh).then_some(answer)
    }

    /// As [`Self::get`], with a stale value too.
    pub async fn get_stale(&self, key: &str) -> Option<Found> {
        let look = self.look();
        let has_copy = match look.trust {
            Trust::Fresh => match self.local.get_stale(look.now, key) {
                Some(hit) => return Some(hit),
                None => false,
            },
            Trust::Bounded => self.local.peek(look.now, key).is_some(),
            Trust::None => false,
        };
        Box::pin(self.fetch(key, look, has_copy)).await
    }

    /// The JSON texts of several values, with one question to Redis for those without a copy.
    pub async fn get_values(&self, keys: &[&str]) -> Vec<Option<Bytes>> {
        let trust = self.trust();
        let now = self.now();
        let mut found: Vec<Option<Bytes>> = match trust {
            Trust::Fresh => keys.iter().map(|k| self.local.get(now, k)).collect(),
            _ => vec![None; keys.len()],
        };
        let missing: Vec<usize> = (0..keys.len()).filter(|&i| found[i].is_none()).collect();
        if !missing.is_empty() {
            let asked: Vec<&str> = missing.iter().map(|&i| keys[i]).collect();
            for (&i, answer) in missing.iter().zip(self.fetch_many(&asked).await) {
                found[i] = answer;
            }
        }
        let value = |answer: Bytes| answer.slice(envelope::DATA_HEAD.len()..answer.len() - 1);
        found.into_iter().map(|answer| answer.map(value)).collect()
    }

    async fn fetch_many(&self, keys: &[&str]) -> Vec<Option<Bytes>> {
        let found: Vec<Option<Found>> = match self.read_many(keys).await {
            Ok(read) => {
                let read = keys.iter().zip(read);
                read.map(|(key, found)| self.pending(key).unwrap_or(found))
                    .collect()
            }
            Err(_) => keys.iter().map(|key| self.fallback(key)).collect(),
        };
        let fresh = |(answer, freshness)| (freshness == Freshness::Fresh).then_some(answer);
        found
            .into_iter()
            .map(|found| found.and_then(fresh))
            .collect()
    }

    /// What Redis has of each, asked for in one question.
    async fn read_many(&self, keys: &[&str]) -> Result<Vec<Option<Found>>, LinkError> {
        let since = self.link.now();
        let epoch = self.epoch(since).await?;
        let asked = (self.now(), self.store_now());
        let flights: Vec<_> = keys.iter().map(|key| self.begin(key, false)).collect();
        // What is no value of ours is not there: it must not fail the others.
        let mut get = redis::cmd("MGET");
        for key in keys {
            get.arg(self.keys.value(epoch, key));
        }
        let stored: Vec<Option<Vec<u8>>> =
            self.link.ask_within(&get, self.link.left(since)).await?;
        let entries: Vec<_> = keys
            .iter()
            .zip(&stored)
            .map(|(key, bytes)| self.decode(key, bytes.as_deref()?))
            .collect();
        let held = self.held(&entries, since).await?;
        let read = flights.into_iter().zip(entries).zip(held);
        let read =
            read.map(|((flight, entry), held)| self.adopt(flight, asked, entry.filter(|_| held)));
        Ok(read.collect())
    }

    /// What Redis has of one key.
    async fn read(&self, key: &str, look: Look) -> Result<Option<Found>, LinkError> {
        let Look { now, since, .. } = look;
        let (epoch, left) = match self.known_epoch() {
            Some(epoch) => (epoch, self.config.hard),
            None => (self.epoch(since).await?, self.link.left(since)),
        };
        let asked = (now, self.link.store_clock().latest(since));
        let flight = self.begin(key, false);
        let name = self.keys.value(epoch, key);
        let stored = match self.gather.ask(Read { name, since, left }).await {
            // No answer is lost but with its runtime.
            None => return Err(LinkError::Open),
            // It is no value of ours.
            Some(Err(LinkError::Foreign)) => None,
            Some(answer) => answer?,
        };
        let entries = [stored.as_deref().and_then(|bytes| self.decode(key, bytes))];
        let held = match &entries {
            [Some(entry)] if !entry.tags.is_empty() => self.held(&entries, since).await? == [true],
            _ => true,
        };
        let [entry] = entries;
        Ok(self.adopt(flight, asked, entry.filter(|_| held)))
    }

    /// What Redis' clock shows at most.
    pub(super) fn store_now(&self) -> Timestamp {
        self.link.store_clock().latest(self.link.now())
    }

    /// What Redis has; a copy within the bound when it does not say or takes too long. In a box
    /// at its callers: as a part of theirs it would make every hit a third slower.
    async fn fetch(&self, key: &str, look: Look, has_copy: bool) -> Option<Found> {
        if let Some(pending) = self.pending(key) {
            return pending;
        }
        if !self.link.is_closed() {
            return self.fallback(key);
        }
        let read = if has_copy {
            self.read_soon(key, look).await
        } else {
            self.read(key, look).await
        };
        read.unwrap_or_else(|_| self.fallback(key))
    }

    /// As [`Self::read`], with the copy when Redis takes too long.
    async fn read_soon(&self, key: &str, look: Look) -> Result<Option<Found>, LinkError> {
        match tokio::time::timeout(self.config.soft, self.read(key, look)).await {
            Ok(read) => read,
            Err(_) => {
                Counters::add(&self.counters.soft_timeouts);
                Ok(self.fallback(key))
            }
        }
    }

    /// What a change of the key that Redis does not have yet makes of it: `Some(None)` is gone.
    pub(super) fn pending(&self, key: &str) -> Option<Option<Found>> {
        let replay = self.replay();
        match replay.get(key)? {
            Change::Set { entry, .. } => {
                let entry = SharedEntry::decode(entry, self.config.value_max).ok()?;
                let answer = Bytes::from(envelope::raw_data(entry.value.as_bytes()));
                let freshness = match self.now() < entry.fresh_until {
                    true => Freshness::Fresh,
                    false => Freshness::Stale,
                };
                Some(Some((answer, freshness)))
            }
            _ => Some(None),
        }
    }

    /// The copy, if it is not older than the bound.
    fn fallback(&self, key: &str) -> Option<Found> {
        if let Some(pending) = self.pending(key) {
            return pending;
        }
        let now = self.now();
        let copy = match self.trust() {
            Trust::None => return None,
            // Looked for and counted already.
            Trust::Fresh => self.local.peek(now, key),
            Trust::Bounded => self.local.get_stale(now, key),
        };
        Counters::add(&self.counters.fallbacks);
        copy
    }

    fn decode<'a>(&self, key: &str, bytes: &'a [u8]) -> Option<SharedEntry<'a>> {
        match SharedEntry::decode(bytes, self.config.value_max) {
            Ok(entry) => Some(entry),
            Err(error) => {
                tracing::warn!(%error, key, "a shared value is not understood");
                None
            }
        }
    }

    /// Takes what Redis has of a key, asked at `now` by the clocks here and there; a copy is kept if nothing happened since.
    fn adopt(
        &self,
        flight: InFlight<'_>,
        (now, store_now): (Timestamp, Timestamp),
        entry: Option<SharedEntry<'_>>,
    ) -> Option<Found> {
        let Some(entry) = entry else {
            Counters::add(&self.counters.remote_misses);
            let key = flight.key;
            // Not there, so no copy of it holds.
            if flight.land() {
                self.local.remove(now, key);
            }
            return None;
        };
        Counters::add(&self.counters.remote_hits);
        let (fresh_ms, stale_ms) = entry.times_left(now, store_now);
        let answer = Bytes::from(envelope::raw_data(entry.value.as_bytes()));
        if fresh_ms == 0 {
            return (stale_ms > 0).then_some((answer, Freshness::Stale));
        }
        let set = CacheSet {
            key: flight.key.into(),
            value: &entry.value,
            ttl_ms: Some(fresh_ms),
            stale_ttl_ms: (stale_ms > 0).then_some(stale_ms),
            tags: entry.tags.iter().map(|tag| tag.name.into()).collect(),
        };
        self.keep(flight, now, &set, answer.clone());
        Some((answer, Freshness::Fresh))
    }

    /// Keeps a copy unless something happened to the key since its flight began.
    pub(super) fn keep(
        &self,
        flight: InFlight<'_>,
        now: Timestamp,
        set: &CacheSet<'_>,
        answer: Bytes,
    ) {
        // Entered first and taken out again: between landing and entering, a message of a change
        // would find no copy and no flight.
        let entered = self.local.set_answer(now, set, answer);
        if !flight.land() || entered.is_err() {
            self.local.remove(now, &set.key);
        }
    }

    /// Of each entry, whether none of its tags was invalidated since it was written.
    async fn held(
        &self,
        entries: &[Option<SharedEntry<'_>>],
        since: Timestamp,
    ) -> Result<Vec<bool>, LinkError> {
        let tags = |entry: &Option<SharedEntry<'_>>| entry.as_ref().map_or(0, |e| e.tags.len());
        if entries.iter().all(|entry| tags(entry) == 0) {
            return Ok(vec![true; entries.len()]);
        }
        let names = entries.iter().flatten().flat_map(|entry| &entry.tags);
        let names: Vec<&str> = names.map(|tag| tag.name).collect();
        let mut barriers = &self.barriers(&names, since).await?[..];
        let mut held = Vec::with_capacity(entries.len());
        for entry in entries {
            let (own, rest) = barriers.split_at(tags(entry));
            barriers = rest;
            let mut pairs = entry.iter().flat_map(|entry| &entry.tags).zip(own);
            held.push(pairs.all(|(tag, &barrier)| tag.barrier >= barrier));
        }
        Ok(held)
    }

    /// The barriers of tags, asked for in one question when they are not known.
    pub(super) async fn barriers(
        &self,
        tags: &[&str],
        since: Timestamp,
    ) -> Result<Vec<u64>, LinkError> {
        let (known, era) = {
            let coherence = self.coherence();
            let known: Vec<_> = tags.iter().map(|tag| coherence.barrier(tag)).collect();
            (known, coherence.era())
        };
        if known.iter().all(Option::is_some) {
            return Ok(known.into_iter().flatten().collect());
        }
        let names: Vec<_> = tags.iter().map(|tag| self.keys.barrier(tag)).collect();
        let mut get = redis::cmd("MGET");
        get.arg(names);
        let limit = self.link.left(since);
        let barriers: Vec<Option<u64>> = self.link.ask_within(&get, limit).await?;
        let barriers: Vec<u64> = barriers
            .into_iter()
            .map(Option::unwrap_or_default)
            .collect();
        let mut coherence = self.coherence();
        for (tag, barrier) in tags.iter().zip(&barriers) {
            coherence.learn(tag, *barrier, era);
        }
        Ok(barriers)
    }
}
