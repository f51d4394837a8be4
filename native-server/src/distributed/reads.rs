//! Reads: a trusted copy, else Redis, else a copy within the bound.

use bytes::Bytes;
use redis::Pipeline;
use sommos_core::{
    cache::Freshness,
    distributed::{Change, SharedEntry, Trust},
    time::Timestamp,
    wire::{cache::CacheSet, envelope},
};

use super::{Counters, Distributed, InFlight, LinkError};

/// The answer of a get.
pub(super) type Found = (Bytes, Freshness);
/// What Redis says of one key: the entry and the time that it has left, ms.
type Stored = (Option<Vec<u8>>, i64);

impl Distributed {
    /// The whole answer of a get.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        if self.trust() == Trust::Fresh
            && let Some(hit) = self.local.get(self.now(), key)
        {
            return Some(hit);
        }
        let (answer, freshness) = self.fetch(key).await?;
        (freshness == Freshness::Fresh).then_some(answer)
    }

    /// As [`Self::get`], with a stale value too.
    pub async fn get_stale(&self, key: &str) -> Option<Found> {
        if self.trust() == Trust::Fresh
            && let Some(hit) = self.local.get_stale(self.now(), key)
        {
            return Some(hit);
        }
        self.fetch(key).await
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
        match self.read_many(keys).await {
            Ok(found) => found,
            Err(_) => keys
                .iter()
                .map(|key| {
                    let (answer, freshness) = self.fallback(key)?;
                    (freshness == Freshness::Fresh).then_some(answer)
                })
                .collect(),
        }
    }

    async fn read_many(&self, keys: &[&str]) -> Result<Vec<Option<Bytes>>, LinkError> {
        let now = self.now();
        let epoch = self.epoch().await?;
        let mut pipe = redis::pipe();
        let flights: Vec<_> = keys.iter().map(|key| self.begin(key, false)).collect();
        for key in keys {
            ask_for(&mut pipe, &self.keys.value(epoch, key));
        }
        let stored: Vec<redis::Value> = self.link.ask(&pipe).await?;
        let mut found = Vec::with_capacity(keys.len());
        for (pair, flight) in stored.chunks(2).zip(flights) {
            let stored = redis::from_redis_value(redis::Value::Array(pair.to_vec()))
                .map_err(|error| LinkError::Failed(error.to_string()))?;
            let fresh = match self.pending(flight.flight.key()) {
                Some(pending) => pending,
                None => self.adopt(flight, now, stored).await?,
            };
            found.push(fresh.and_then(|(a, f)| (f == Freshness::Fresh).then_some(a)));
        }
        Ok(found)
    }

    /// What Redis has; a copy within the bound when it does not say or takes too long.
    pub(super) async fn fetch(&self, key: &str) -> Option<Found> {
        if let Some(pending) = self.pending(key) {
            return pending;
        }
        if !self.link.is_closed() {
            return self.fallback(key);
        }
        let read = self.read(key);
        let read = if self.local.peek(self.now(), key).is_some() && self.trust() != Trust::None {
            match tokio::time::timeout(self.config.soft, read).await {
                Ok(read) => read,
                Err(_) => {
                    Counters::add(&self.counters.soft_timeouts);
                    return self.fallback(key);
                }
            }
        } else {
            read.await
        };
        read.unwrap_or_else(|_| self.fallback(key))
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

    async fn read(&self, key: &str) -> Result<Option<Found>, LinkError> {
        let now = self.now();
        let epoch = self.epoch().await?;
        let flight = self.begin(key, false);
        let mut pipe = redis::pipe();
        ask_for(&mut pipe, &self.keys.value(epoch, key));
        let stored = self.link.ask(&pipe).await?;
        self.adopt(flight, now, stored).await
    }

    /// Takes what Redis said of a key, asked at `now`; a copy is kept if nothing happened since.
    async fn adopt(
        &self,
        flight: InFlight<'_>,
        now: Timestamp,
        (bytes, left_ms): Stored,
    ) -> Result<Option<Found>, LinkError> {
        let entry = bytes
            .as_deref()
            .map(|bytes| SharedEntry::decode(bytes, self.config.value_max))
            .transpose();
        let entry = entry.unwrap_or_else(|error| {
            tracing::warn!(%error, key = flight.flight.key(), "a shared value is not understood");
            None
        });
        let valid = match &entry {
            Some(entry) => self.holds(entry).await?,
            None => false,
        };
        let (Some(entry), true) = (entry, valid) else {
            Counters::add(&self.counters.remote_misses);
            let key: Box<str> = flight.flight.key().into();
            // Not there, so no copy of it holds.
            if flight.land() {
                self.local.remove(now, &key);
            }
            return Ok(None);
        };
        Counters::add(&self.counters.remote_hits);
        let (fresh_ms, stale_ms) = entry.times_left(now, u64::try_from(left_ms).unwrap_or(0));
        let answer = Bytes::from(envelope::raw_data(entry.value.as_bytes()));
        if fresh_ms == 0 {
            return Ok((stale_ms > 0).then_some((answer, Freshness::Stale)));
        }
        let key: Box<str> = flight.flight.key().into();
        let set = CacheSet {
            key: (&*key).into(),
            value: &entry.value,
            ttl_ms: Some(fresh_ms),
            stale_ttl_ms: (stale_ms > 0).then_some(stale_ms),
            tags: entry.tags.iter().map(|tag| tag.name.into()).collect(),
        };
        self.keep(flight, now, &set, answer.clone());
        Ok(Some((answer, Freshness::Fresh)))
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

    /// Whether none of the entry's tags was invalidated since it was written.
    async fn holds(&self, entry: &SharedEntry<'_>) -> Result<bool, LinkError> {
        let names: Vec<&str> = entry.tags.iter().map(|tag| tag.name).collect();
        let barriers = self.barriers(&names).await?;
        let mut pairs = entry.tags.iter().zip(barriers);
        Ok(pairs.all(|(tag, barrier)| tag.barrier >= barrier))
    }

    /// The barriers of tags, asked for in one question when they are not known.
    pub(super) async fn barriers(&self, tags: &[&str]) -> Result<Vec<u64>, LinkError> {
        let (known, era) = {
            let coherence = self.coherence();
            let known: Vec<_> = tags.iter().map(|tag| coherence.barrier(tag)).collect();
            (known, coherence.era())
        };
        if known.iter().all(Option::is_some) {
            return Ok(known.into_iter().flatten().collect());
        }
        let mut pipe = redis::pipe();
        let names: Vec<_> = tags.iter().map(|tag| self.keys.barrier(tag)).collect();
        pipe.cmd("MGET").arg(names);
        let (barriers,): (Vec<Option<u64>>,) = self.link.ask(&pipe).await?;
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

fn ask_for(pipe: &mut Pipeline, name: &str) {
    pipe.cmd("GET").arg(name).cmd("PTTL").arg(name);
}
