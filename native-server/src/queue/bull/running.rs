//! What runs here for the shared queue, so that it can be stopped.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Attempts by their jobs. At most as many as the workers take at once.
#[derive(Default)]
pub(super) struct Running(Mutex<HashMap<Box<str>, Entry>>);

struct Entry {
    token: Box<str>,
    stop: Arc<Notify>,
}

/// An attempt that runs; when it is dropped the attempt is forgotten.
pub(super) struct Attempt<'a> {
    running: &'a Running,
    key: Box<str>,
    token: Box<str>,
    stop: Arc<Notify>,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt at the job under this key of Redis, claimed with this token.
    pub(super) fn enter(&self, key: &str, token: &str) -> Attempt<'_> {
        let stop = Arc::new(Notify::new());
        let entry = Entry {
            token: token.into(),
            stop: Arc::clone(&stop),
        };
        self.lock().insert(key.into(), entry);
        Attempt {
            running: self,
            key: key.into(),
            token: token.into(),
            stop,
        }
    }

    /// The token of the attempt at this job that runs here.
    pub(super) fn token(&self, key: &str) -> Option<Box<str>> {
        self.lock().get(key).map(|entry| entry.token.clone())
    }

    /// Stops the attempt at this job if it has this token, or any if none is given.
    pub(super) fn stop(&self, key: &str, token: Option<&str>) {
        let running = self.lock();
        let entry = running.get(key);
        let entry = entry.filter(|entry| token.is_none_or(|token| *entry.token == *token));
        if let Some(entry) = entry {
            // Kept for the attempt that has not begun to wait.
            entry.stop.notify_one();
        }
    }
}

impl Attempt<'_> {
    /// Resolves when somebody stops it.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let stop = Arc::clone(&self.stop);
        async move { stop.notified().await }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        // The same job may run here again already, under another token.
        if running
            .get(&self.key)
            .is_some_and(|entry| entry.token == self.token)
        {
            running.remove(&self.key);
        }
    }
}
