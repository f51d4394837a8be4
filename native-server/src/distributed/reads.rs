//! Reads: a trusted copy, else Redis, else a copy within the bound.

use bytes::Bytes;
use redis::{Pipeline, Value};
use sommos_core::{
    cache::Freshness,
    distributed::{Change, SharedEntry, Trust},
    time::Timestamp,
    wire::{cache::CacheSet, envelope},
};

use super::{Counters, Distributed, InFlight, LinkError};

/// The answer of a get.
pub(super) type Found = (Bytes, Freshness);
/// What a read of Redis gives.
pub(super) type Answer = Result<Option<Found>, LinkError>;
/// What Redis says of one key: the entry and the time that it has left, ms.
type Stored = (Option<Vec<u8>>, u64);

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
        let answers = self.read_many(keys).await.into_iter();
        let found = answers.zip(keys).map(|(answer, key)| {
            let found = match self.pending(key) {
                Some(pending) => pending,
                None => answer.unwrap_or_else(|_| self.fallback(key)),
            };
            found.and_then(|(answer, f)| (f == Freshness::Fresh).then_some(answer))
        });
        found.collect()
    }

    /// What Redis has of each, asked for in one question.
    pub(super) async fn read_many(&self, keys: &[&str]) -> Vec<Answer> {
        match self.question(keys).await {
            Ok(answers) => answers,
            Err(error) => vec![Err(error); keys.len()],
        }
    }

    async fn question(&self, keys: &[&str]) -> Result<Vec<Answer>, LinkError> {
        let now = self.now();
        let epoch = self.epoch().await?;
        let flights: Vec<_> = keys.iter().map(|key| self.begin(key, false)).collect();
        let mut pipe = Pipeline::with_capacity(2 * keys.len());
        // One key that is no text must not fail the others.
        pipe.ignore_errors();
        for key in keys {
            let name = self.keys.value(epoch, key);
            pipe.cmd("GET").arg(&name).cmd("PTTL").arg(&name);
        }
        let told: Vec<Value> = self.link.ask_for(&pipe, keys.len()).await?;
        let mut told = told.into_iter();
        let stored: Vec<Result<Stored, LinkError>> = flights
            .iter()
            .map(|_| stored(told.next(), told.next()))
            .collect();
        let failed = stored.iter().filter(|stored| stored.is_err()).count();
        self.link.failed(failed);
        let entries: Vec<_> = flights
            .iter()
            .zip(&stored)
            .map(|(flight, stored)| self.decode(flight.flight.key(), stored.as_ref().ok()?))
            .collect();
        let held = self.held(&entries).await?;
        let read = flights.into_iter().zip(entries).zip(held).zip(&stored);
        Ok(read
            .map(|(((flight, entry), held), stored)| match stored {
                Ok((_, left_ms)) => Ok(self.adopt(flight, now, entry.filter(|_| held), *left_ms)),
                Err(error) => Err(error.clone()),
            })
            .collect())
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

    fn decode<'a>(&self, key: &str, (bytes, _): &'a Stored) -> Option<SharedEntry<'a>> {
        match SharedEntry::decode(bytes.as_deref()?, self.config.value_max) {
            Ok(entry) => Some(entry),
            Err(error) => {
                tracing::warn!(%error, key, "a shared value is not understood");
                None
            }
        }
    }

    /// Takes what Redis has of a key, asked at `now`; a copy is kept if nothing happened since.
    fn adopt(
        &self,
        flight: InFlight<'_>,
        now: Timestamp,
        entry: Option<SharedEntry<'_>>,
        left_ms: u64,
    ) -> Option<Found> {
        let Some(entry) = entry else {
            Counters::add(&self.counters.remote_misses);
            let key: Box<str> = flight.flight.key().into();
            // Not there, so no copy of it holds.
            if flight.land() {
                self.local.remove(now, &key);
            }
            return None;
        };
        Counters::add(&self.counters.remote_hits);
        let (fresh_ms, stale_ms) = entry.times_left(now, left_ms);
        let answer = Bytes::from(envelope::raw_data(entry.value.as_bytes()));
        if fresh_ms == 0 {
            return (stale_ms > 0).then_some((answer, Freshness::Stale));
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
    async fn held(&self, entries: &[Option<SharedEntry<'_>>]) -> Result<Vec<bool>, LinkError> {
        let tags = |entry: &Option<SharedEntry<'_>>| entry.as_ref().map_or(0, |e| e.tags.len());
        if entries.iter().all(|entry| tags(entry) == 0) {
            return Ok(vec![true; entries.len()]);
        }
        let names = entries.iter().flatten().flat_map(|entry| &entry.tags);
        let names: Vec<&str> = names.map(|tag| tag.name).collect();
        let mut barriers = &self.barriers(&names).await?[..];
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

/// Reads one key's two answers.
fn stored(value: Option<Value>, left_ms: Option<Value>) -> Result<Stored, LinkError> {
    let left_ms = match left_ms {
        Some(Value::Int(left_ms)) => u64::try_from(left_ms).unwrap_or(0),
        _ => 0,
    };
    match value {
        Some(Value::BulkString(bytes)) => Ok((Some(bytes), left_ms)),
        Some(Value::Nil) => Ok((None, left_ms)),
        // Something else has this name: there is no value of ours.
        Some(Value::ServerError(error)) if error.code() == "WRONGTYPE" => Ok((None, 0)),
        Some(Value::ServerError(error)) => Err(LinkError::Failed(format!("{error:?}"))),
        other => Err(LinkError::Failed(format!("GET is answered by {other:?}"))),
    }
}
