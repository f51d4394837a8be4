//! Read-through: a value that is absent or stale is loaded once, however many ask for it.
//!
//! A load runs apart from the requests that wait for it: one that gives up takes nothing from the
//! others. It stores its value before it leaves the list of loads, and who finds it gone from the
//! list looks into the cache again, so no value is loaded twice in a row.

use std::{
    borrow::Cow,
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use sommos_core::{
    cache::Freshness,
    wire::{
        ApiError, ErrorCode,
        cache::{CacheGetOrLoad, key_not_found},
    },
};
use tokio::sync::{Semaphore, watch};

use crate::{app::App, distributed::Distributed, warming};

/// Most values on their way at once: bounds the list and what waits for a turn.
const LOADS_MAX: usize = 1024;
/// Most files read at once.
const READS_MAX: usize = 4;
/// Longest time that one server alone may load a key.
const LOCK: Duration = Duration::from_secs(10);
/// How often a server looks whether another has loaded a key.
const POLL: Duration = Duration::from_millis(10);

/// What a load ended with: the answer of a get, or none when the loader does not have the key.
type Outcome = Result<Option<Bytes>, ApiError>;
/// Loader and key: two loaders may give one key different values.
type LoadId = (Box<str>, Box<str>);

/// The loads that are running.
pub struct Loads {
    running: Mutex<HashMap<LoadId, watch::Receiver<Option<Outcome>>>>,
    reads: Semaphore,
    count: AtomicU64,
}

impl Default for Loads {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
            reads: Semaphore::new(READS_MAX),
            count: AtomicU64::new(0),
        }
    }
}

impl Loads {
    /// Values that were read from a loader.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<LoadId, watch::Receiver<Option<Outcome>>>> {
        // The map is whole after every one of its operations.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that outlives its body.
#[must_use]
pub fn owned(wanted: CacheGetOrLoad<'_>) -> CacheGetOrLoad<'static> {
    let keep = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    CacheGetOrLoad {
        key: keep(wanted.key),
        loader: keep(wanted.loader),
        ttl_ms: wanted.ttl_ms,
        stale_ttl_ms: wanted.stale_ttl_ms,
        tags: wanted.tags.into_iter().map(keep).collect(),
    }
}

/// The answer of a get: the fresh value; else a stale one, which is loaded anew behind the answer;
/// else what the file at `path` has.
///
/// # Errors
/// `KEY_NOT_FOUND` when the file does not have the key, `UNAVAILABLE` when it cannot be read or too
/// many values are being loaded; never while there is a stale value.
pub async fn get_or_load(
    app: &Arc<App>,
    wanted: CacheGetOrLoad<'static>,
    path: PathBuf,
) -> Result<Bytes, ApiError> {
    let key = wanted.key.clone();
    let found = match &app.shared {
        Some(shared) => shared.get_stale(&key).await,
        None => app.cache.get_stale(app.now(), &key),
    };
    if let Some((answer, freshness)) = found {
        if freshness == Freshness::Stale
            && let Err(error) = start(app, wanted, path)
        {
            tracing::warn!(%error, "a stale value is not loaded anew");
        }
        return Ok(answer);
    }
    let mut load = match start(app, wanted, path)? {
        Started::Loaded(answer) => return Ok(answer),
        Started::Running(load) => load,
    };
    let outcome = match load.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone(),
        Err(_) => None,
    };
    let broken = || Err(ApiError::new(ErrorCode::Unavailable, "the load broke off"));
    match outcome.unwrap_or_else(broken) {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(key_not_found()),
        // Set, and stale already, while the load was running.
        Err(error) => match app.cache.peek(app.now(), &key) {
            Some((answer, _)) => Ok(answer),
            None => Err(error),
        },
    }
}

enum Started {
    /// It came into the cache since the caller looked.
    Loaded(Bytes),
    /// By this call or by another.
    Running(watch::Receiver<Option<Outcome>>),
}

fn start(
    app: &Arc<App>,
    wanted: CacheGetOrLoad<'static>,
    path: PathBuf,
) -> Result<Started, ApiError> {
    let id: LoadId = (Box::from(&*wanted.loader), Box::from(&*wanted.key));
    let mut running = app.loads.running();
    if let Some(load) = running.get(&id) {
        return Ok(Started::Running(load.clone()));
    }
    if let Some((answer, Freshness::Fresh)) = app.cache.peek(app.now(), &wanted.key) {
        return Ok(Started::Loaded(answer));
    }
    if running.len() >= LOADS_MAX {
        let message = format!("{LOADS_MAX} values are being loaded already; try again later");
        return Err(ApiError::new(ErrorCode::Unavailable, message));
    }
    let (sender, load) = watch::channel(None);
    running.insert(id.clone(), load.clone());
    drop(running);
    tokio::spawn(run(Arc::clone(app), id, wanted, path, sender));
    Ok(Started::Running(load))
}

async fn run(
    app: Arc<App>,
    id: LoadId,
    wanted: CacheGetOrLoad<'static>,
    path: PathBuf,
    sender: watch::Sender<Option<Outcome>>,
) {
    let outcome = match app.shared.clone() {
        Some(shared) => read_once(&app, &shared, wanted, path).await,
        None => read(&app, wanted, path).await,
    };
    if let Err(error) = &outcome {
        tracing::warn!(%error, loader = %id.0, "a value could not be loaded");
    }
    app.loads.running().remove(&id);
    sender.send_replace(Some(outcome));
}

/// Reads a value that no other server is reading: waits for theirs, for the time of a lock. When
/// nobody knows, it reads.
async fn read_once(
    app: &Arc<App>,
    shared: &Distributed,
    wanted: CacheGetOrLoad<'static>,
    path: PathBuf,
) -> Outcome {
    let deadline = tokio::time::Instant::now() + LOCK;
    let lock = loop {
        if let Some((answer, Freshness::Fresh)) = shared.get_stale(&wanted.key).await {
            return Ok(Some(answer));
        }
        let ms = LOCK.as_millis() as u64;
        match shared.lock(&wanted.loader, &wanted.key, ms).await {
            Ok(None) if tokio::time::Instant::now() < deadline => tokio::time::sleep(POLL).await,
            Ok(lock) => break lock,
            Err(_) => break None,
        }
    };
    // Between the look and the lock another may have loaded it and released.
    let found = match &lock {
        Some(_) => shared.get_stale(&wanted.key).await,
        None => None,
    };
    let outcome = match found {
        Some((answer, Freshness::Fresh)) => Ok(Some(answer)),
        _ => read(app, wanted, path).await,
    };
    if let Some(lock) = lock {
        shared.unlock(lock).await;
    }
    outcome
}

async fn read(app: &Arc<App>, wanted: CacheGetOrLoad<'static>, path: PathBuf) -> Outcome {
    let _turn = app
        .loads
        .reads
        .acquire()
        .await
        .map_err(|_| ApiError::new(ErrorCode::Unavailable, "shutting down"))?;
    app.loads.count.fetch_add(1, Ordering::Relaxed);
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || warming::load(&app, &path, &wanted))
        .await
        .unwrap_or_else(|error| Err(ApiError::new(ErrorCode::Internal, error.to_string())))
}

#[cfg(test)]
mod tests;
