//! The entries of a group: core's cache over versions, with the values in the object's SQLite; and
//! the loads that are under way.

use std::{borrow::Cow, cell::RefCell, collections::HashMap, rc::Rc};

use serde::{Deserialize, Serialize};
use sommos_core::{
    cache::{CacheConfig, CacheStats, Freshness, SetOptions, TaggedCache},
    time::Timestamp,
    wire::{ApiError, ErrorCode},
};
use worker::{SqlStorageValue, State};

use super::{
    cache::SetLine,
    database::{Database, StoreError, bytes, int, number, parts, unpack},
};
use crate::settings::CacheSettings;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS entries(version INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS cached(version INTEGER, part INTEGER, data BLOB NOT NULL,
    PRIMARY KEY(version, part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter(id INTEGER PRIMARY KEY, version INTEGER NOT NULL);
";
/// Expired entries that one call removes at most.
const CLEANUP_MAX: usize = 256;
/// Versions reserved at once.
const RESERVE: u64 = 1 << 10;
/// Loads under way, count.
const FLIGHTS_MAX: usize = 1024;
/// Failed loads that are remembered for those who wait for them, count.
const FAILED_MAX: usize = 64;

/// An entry as it is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) version: u64,
    pub(crate) bytes: usize,
    pub(crate) fresh_until: Timestamp,
}

/// Where one stands who asks for a value that may have to be loaded.
#[derive(Debug)]
pub(crate) enum Flight {
    Fresh(Entry),
    /// With a token: it is the asker's to load anew.
    Stale(Entry, Option<u64>),
    Yours(u64),
    /// Another loads it, under this token.
    Wait(u64),
    /// The load that was waited for.
    Failed(ApiError),
}

/// A version that the cache holds. When the cache lets it go, for whatever reason, it says so.
#[derive(Debug)]
struct Held {
    version: u64,
    bytes: usize,
    gone: Rc<RefCell<Vec<u64>>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gone.borrow_mut().push(self.version);
    }
}

/// An entry as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    line: SetLine,
    set_at: Timestamp,
    bytes: u64,
}

#[derive(Debug)]
struct Loading {
    token: u64,
    until: Timestamp,
    /// Whether its key was set or removed meanwhile: what it loads is out of date.
    superseded: bool,
}

/// The entries of a group.
#[derive(Debug)]
pub(crate) struct Directory {
    cache: TaggedCache<Held>,
    database: Database,
    gone: Rc<RefCell<Vec<u64>>>,
    round: Vec<(&'static str, Vec<SqlStorageValue>)>,
    version: u64,
    reserved: u64,
    flights: HashMap<String, Loading>,
    failed: Vec<(u64, ApiError)>,
}

impl Directory {
    /// The group that the storage tells of. The order of use is not stored: after a restart
    /// entries count as used when they were set.
    pub(crate) fn load(
        state: &State,
        settings: &CacheSettings,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let groups = settings.groups.max(1);
        let config = CacheConfig {
            max_entries: settings.max_entries.div_ceil(groups as usize),
            max_weight_bytes: settings.max_bytes / u64::from(groups),
            default_ttl_ms: Some(settings.default_ttl_ms),
            ..CacheConfig::default()
        };
        let cache = TaggedCache::new(config).map_err(|error| {
            let message = format!("the worker's configuration, CACHE_MAX_SIZE: {error}");
            ApiError::new(ErrorCode::Internal, message)
        })?;
        let database = Database::new(state.storage(), SCHEMA).map_err(unreadable)?;
        let mut directory = Self {
            cache,
            database,
            gone: Rc::default(),
            round: Vec::new(),
            version: 0,
            reserved: 0,
            flights: HashMap::new(),
            failed: Vec::new(),
        };
        directory.restore(now).map_err(unreadable)?;
        Ok(directory)
    }

    fn restore(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let counter = self
            .database
            .rows("SELECT version FROM counter", Vec::new())?;
        if let Some(row) = counter.into_iter().next() {
            self.version = number(row.into_iter().next())?;
            self.reserved = self.version;
        }
        let sql = "SELECT version, data FROM entries ORDER BY version";
        for row in self.database.rows(sql, Vec::new())? {
            let mut columns = row.into_iter();
            let version = number(columns.next())?;
            let stored: Stored = unpack(&bytes(columns.next())?)?;
            self.readmit(now, version, &stored);
        }
        self.cache.reset_stats();
        Ok(())
    }

    fn readmit(&mut self, now: Timestamp, version: u64, stored: &Stored) {
        let held = Held {
            version,
            bytes: stored.bytes as usize,
            gone: Rc::clone(&self.gone),
        };
        let line = &stored.line;
        let ttl_ms = line
            .ttl_ms
            .unwrap_or_else(|| self.cache.config().default_ttl_ms.unwrap_or(u64::MAX / 2));
        let passed = now.ms_since(stored.set_at);
        let (ttl_ms, stale_ms) = match ttl_ms.checked_sub(passed) {
            Some(left @ 1..) => (left, line.stale_ms),
            // Only its stale time is left: it is stale from the next millisecond on.
            _ => match (ttl_ms + line.stale_ms).checked_sub(passed + 1) {
                Some(left @ 1..) => (1, left),
                _ => return,
            },
        };
        let tags: Vec<Cow<'_, str>> = line.tags.iter().map(|t| t.as_str().into()).collect();
        let options = SetOptions {
            ttl_ms: Some(ttl_ms),
            stale_ms,
            tags: &tags,
        };
        let key = line.key.as_str().into();
        // One that no longer fits is let go.
        let _ = self.cache.set(now, key, held, line.weight, &options);
    }

    pub(crate) fn cleanup(&mut self, now: Timestamp) {
        self.cache.cleanup(now, CLEANUP_MAX);
    }

    /// Writes what changed as one transaction.
    pub(crate) fn commit(&mut self) -> Result<(), ApiError> {
        let gone = self.gone.take();
        for version in gone {
            let delete = "DELETE FROM entries WHERE version = ?";
            self.round.push((delete, vec![int(version)]));
            let delete = "DELETE FROM cached WHERE version = ?";
            self.round.push((delete, vec![int(version)]));
        }
        if self.round.is_empty() {
            return Ok(());
        }
        let round = core::mem::take(&mut self.round);
        self.database.transaction(round).map_err(unreadable)
    }

    /// Counts hits that were answered without asking.
    pub(crate) fn touch(&mut self, now: Timestamp, keys: &[String]) {
        for key in keys {
            self.cache.get(now, key);
        }
    }

    pub(crate) fn get(&mut self, now: Timestamp, key: &str) -> Option<Entry> {
        self.cache.get(now, key)?;
        self.entry(key)
    }

    fn entry(&self, key: &str) -> Option<Entry> {
        let (held, fresh_until, _) = self.cache.peek_deadline(key)?;
        Some(Entry {
            version: held.version,
            bytes: held.bytes,
            fresh_until,
        })
    }

    /// The value of a version that is held.
    pub(crate) fn value(&self, version: u64) -> Result<Rc<[u8]>, ApiError> {
        let sql = "SELECT data FROM cached WHERE version = ? ORDER BY part";
        let found = self.database.blob(sql, vec![int(version)]);
        let value = found.map_err(unreadable)?.ok_or_else(|| {
            ApiError::new(ErrorCode::Internal, "a cached value is not in the storage")
        })?;
        Ok(value.into())
    }

    /// Sets a value; gives its version.
    pub(crate) fn set(
        &mut self,
        now: Timestamp,
        line: &SetLine,
        value: Vec<u8>,
    ) -> Result<u64, ApiError> {
        if let Some(flight) = self.flights.get_mut(&line.key) {
            flight.superseded = true;
        }
        self.put(now, line, value)
    }

    fn put(&mut self, now: Timestamp, line: &SetLine, value: Vec<u8>) -> Result<u64, ApiError> {
        let version = self.next_version();
        let held = Held {
            version,
            bytes: value.len(),
            gone: Rc::clone(&self.gone),
        };
        let tags: Vec<Cow<'_, str>> = line.tags.iter().map(|t| t.as_str().into()).collect();
        let options = SetOptions {
            ttl_ms: line.ttl_ms,
            stale_ms: line.stale_ms,
            tags: &tags,
        };
        let key = line.key.as_str().into();
        self.cache
            .set(now, key, held, line.weight, &options)
            .map_err(|error| ApiError::new(ErrorCode::TooLarge, error.to_string()).at("value"))?;
        let stored = Stored {
            line: line.clone(),
            set_at: now,
            bytes: value.len() as u64,
        };
        let data = postcard::to_allocvec(&stored).map_err(|e| unreadable(e.into()))?;
        let sql = "INSERT INTO entries(version, data) VALUES(?, ?)";
        self.round
            .push((sql, vec![int(version), SqlStorageValue::Blob(data)]));
        for (part, data) in parts(&value) {
            let sql = "INSERT INTO cached(version, part, data) VALUES(?, ?, ?)";
            self.round.push((sql, vec![int(version), int(part), data]));
        }
        Ok(version)
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        if self.version > self.reserved {
            self.reserved = self.version + RESERVE;
            let sql = "INSERT OR REPLACE INTO counter(id, version) VALUES(1, ?)";
            self.round.push((sql, vec![int(self.reserved)]));
        }
        self.version
    }

    pub(crate) fn remove(&mut self, now: Timestamp, key: &str) -> bool {
        if let Some(flight) = self.flights.get_mut(key) {
            flight.superseded = true;
        }
        self.cache.remove(now, key).is_some()
    }

    pub(crate) fn clear(&mut self) -> usize {
        self.supersede_all();
        self.cache.clear()
    }

    /// Invalidates a tag. What is being loaded may be of it: none of that is kept.
    pub(crate) fn invalidate(&mut self, now: Timestamp, tag: &str) -> usize {
        self.supersede_all();
        self.cache.invalidate_tag(now, tag)
    }

    fn supersede_all(&mut self) {
        for flight in self.flights.values_mut() {
            flight.superseded = true;
        }
    }

    /// Keys, at most `limit`, and how many live ones there are.
    pub(crate) fn keys(&self, now: Timestamp, limit: usize) -> (Vec<String>, usize) {
        let keys = self.cache.keys(now).take(limit).map(str::to_owned);
        (keys.collect(), self.cache.live_len(now))
    }

    pub(crate) fn stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// Where one stands who asks for `key`; `awaited` is the token that was waited for. `clock`
    /// is the platform's, by which loads time out.
    pub(crate) fn flight(
        &mut self,
        now: Timestamp,
        clock: Timestamp,
        key: &str,
        awaited: Option<u64>,
        timeout_ms: u64,
    ) -> Result<Flight, ApiError> {
        let found = self
            .cache
            .get_stale(now, key)
            .map(|(_, freshness)| freshness);
        let entry = self.entry(key);
        if let (Some(Freshness::Fresh), Some(entry)) = (found, entry) {
            return Ok(Flight::Fresh(entry));
        }
        let stale = found.and(entry);
        let failed = self
            .failed
            .iter()
            .find(|(token, _)| Some(*token) == awaited);
        if let (Some((_, error)), None) = (failed, stale) {
            return Ok(Flight::Failed(error.clone()));
        }
        if let Some(loading) = self.flights.get(key).filter(|l| clock < l.until) {
            return Ok(match stale {
                Some(entry) => Flight::Stale(entry, None),
                None => Flight::Wait(loading.token),
            });
        }
        if self.flights.len() >= FLIGHTS_MAX {
            self.flights.retain(|_, loading| clock < loading.until);
        }
        if self.flights.len() >= FLIGHTS_MAX && stale.is_none() {
            let message = format!("{FLIGHTS_MAX} values are being loaded; try again in a moment");
            return Err(ApiError::new(ErrorCode::QueueFull, message));
        }
        let token = self.next_version();
        let loading = Loading {
            token,
            until: clock.plus_ms(timeout_ms),
            superseded: false,
        };
        self.flights.insert(key.to_owned(), loading);
        Ok(match stale {
            Some(entry) => Flight::Stale(entry, Some(token)),
            None => Flight::Yours(token),
        })
    }

    /// Stores what was loaded under a token; gives its version, or none when the token is stale or
    /// the key was set or removed meanwhile.
    pub(crate) fn land(
        &mut self,
        now: Timestamp,
        token: u64,
        line: &SetLine,
        value: Vec<u8>,
    ) -> Result<Option<u64>, ApiError> {
        let Some(loading) = self.flights.get(&line.key).filter(|l| l.token == token) else {
            return Ok(None);
        };
        let superseded = loading.superseded;
        self.flights.remove(&line.key);
        if superseded {
            return Ok(None);
        }
        self.put(now, line, value).map(Some)
    }

    pub(crate) fn fail(&mut self, key: &str, token: u64, error: ApiError) {
        if self.flights.get(key).is_some_and(|l| l.token == token) {
            self.flights.remove(key);
            if self.failed.len() >= FAILED_MAX {
                self.failed.remove(0);
            }
            self.failed.push((token, error));
        }
    }
}

fn unreadable(error: StoreError) -> ApiError {
    let message = format!("the cache's storage: {error}");
    ApiError::new(ErrorCode::Unavailable, message)
}
