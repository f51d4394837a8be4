//! The monitor: counters, history and alerts of all isolates, and tracked allocations.

#![expect(missing_docs, reason = "`durable_object` writes methods without")]

use std::cell::{Cell, RefCell};

use serde::{Deserialize, Serialize};
use sommos_core::{
    metrics::Monitor,
    service::{
        Request, Response,
        monitoring::{Monitoring, monitor_config},
    },
    time::Timestamp,
    wire::{ApiError, ErrorCode, memory::AllocationTracker, routes},
};
use worker::{DurableObject, Env, SqlStorageValue, State, durable_object};

use super::{
    database::{Database, StoreError, int, parts, unpack},
    entropy, nothing,
};
use crate::{
    call::{Call, refuse, respond},
    frame::{self, Frame},
    monitoring::{Figures, cache_figures},
};

/// Answered requests of one route and status.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// The route's place in core's list; none for a path that is no route.
    pub(crate) route: Option<u32>,
    pub(crate) status: u16,
    pub(crate) count: u64,
    /// Bytes of the answers, all together.
    pub(crate) bytes: u64,
}

/// What the monitor's object is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Adds counts.
    Count(Vec<Counted>),
    /// A call of the API; beside it its body.
    Call {
        counts: Vec<Counted>,
        cache: Option<Figures>,
        method: String,
        path: String,
        query: String,
    },
    /// A sample is due.
    Tick(Option<Figures>),
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS monitor(part INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS allocations(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
";
/// Changes wait so long before they are written, milliseconds: less than an idle object is kept in
/// memory.
const SAVE_MS: i64 = 5000;

/// The monitor's object.
#[durable_object(alarm)]
pub struct MonitorState {
    state: State,
    env: Env,
    monitoring: RefCell<Option<Monitoring>>,
    cache: Cell<Option<Figures>>,
    /// Whether the alarm will write.
    saving: Cell<bool>,
}

impl DurableObject for MonitorState {
    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            monitoring: RefCell::new(None),
            cache: Cell::new(None),
            saving: Cell::new(false),
        }
    }

    async fn fetch(&self, mut request: worker::Request) -> worker::Result<worker::Response> {
        let body = request.bytes().await?;
        let response = match self.command(&body) {
            Ok(response) => response,
            Err(error) => refuse(&error),
        };
        if !self.saving.replace(true) {
            self.state.storage().set_alarm(SAVE_MS).await?;
        }
        respond(response)
    }

    async fn alarm(&self) -> worker::Result<worker::Response> {
        self.saving.set(false);
        if let Some(monitoring) = &*self.monitoring.borrow()
            && let Err(error) = save(&self.state, &monitoring.monitor)
        {
            worker::console_error!("the monitor was not saved: {error}");
        }
        worker::Response::empty()
    }
}

impl MonitorState {
    fn command(&self, body: &[u8]) -> Result<Response, ApiError> {
        let frame: Frame<(Option<String>, Command)> = frame::decode(body)?;
        let (control, command) = frame.head;
        let call = Call::new(&self.env, control.as_deref())?;
        let now = call.now;
        let mut slot = self.monitoring.borrow_mut();
        let monitoring = match &mut *slot {
            Some(monitoring) => monitoring,
            none => none.insert(load(&self.state, &call).map_err(unreadable)?),
        };
        match command {
            Command::Count(counts) => {
                add(&monitoring.monitor, &counts);
                self.watch(monitoring, now)?;
                Ok(nothing())
            }
            Command::Tick(cache) => {
                self.cache.set(cache.or(self.cache.get()));
                self.watch(monitoring, now)?;
                Ok(nothing())
            }
            Command::Call {
                counts,
                cache,
                method,
                path,
                query,
            } => {
                self.cache.set(cache.or(self.cache.get()));
                add(&monitoring.monitor, &counts);
                self.watch(monitoring, now)?;
                let body = frame.blobs.into_iter().next().unwrap_or_default();
                let request = Request {
                    method: &method,
                    path: &path,
                    query: &query,
                    body: &body,
                    ..Request::default()
                };
                let response = self.answer(monitoring, &call, &request);
                Ok(response)
            }
        }
    }

    fn watch(&self, monitoring: &mut Monitoring, now: Timestamp) -> Result<(), ApiError> {
        // Without randomness an alert's id is only its time: still unique, but easy to guess.
        let mut random = || entropy().unwrap_or_default();
        monitoring.watch(now, cache_figures(self.cache.get()), &mut random);
        Ok(())
    }

    fn answer(&self, monitoring: &mut Monitoring, call: &Call, request: &Request<'_>) -> Response {
        monitoring.monitor.request_started();
        let found = routes::find(request.method, request.path);
        let route = found.as_ref().ok().map(|m| m.route);
        let cache = cache_figures(self.cache.get());
        let before = monitoring.allocations.clone();
        let answer = found.and_then(|m| {
            let limits = &call.settings.limits;
            monitoring.call(call.now, m.route, m.param, request, cache, limits)
        });
        // What was acknowledged must be there after a crash.
        let answer = answer.and_then(|answer| {
            if monitoring.allocations != before
                && let Err(error) = save_allocations(&self.state, &monitoring.allocations)
            {
                monitoring.allocations = before;
                return Err(unreadable(error));
            }
            Ok(answer)
        });
        let response = answer.unwrap_or_else(|error| refuse(&error));
        monitoring.count(route, &response);
        response
    }
}

fn add(monitor: &Monitor, counts: &[Counted]) {
    for counted in counts {
        let known = routes::ROUTES.len() as u32;
        let route = counted.route.map_or(known, |r| r.min(known)) as usize;
        monitor.add_requests(route, counted.status, counted.count, counted.bytes);
    }
}

fn load(state: &State, call: &Call) -> Result<Monitoring, StoreError> {
    let database = Database::new(state.storage(), SCHEMA)?;
    let limit = call.settings.memory_limit_bytes;
    let sql = "SELECT data FROM allocations";
    let allocations = match database.blob(sql, Vec::new())? {
        Some(data) => unpack(&data)?,
        None => AllocationTracker::new(limit),
    };
    let fresh = || Monitoring::new(call.now, limit).monitor;
    let monitor = match database.blob("SELECT data FROM monitor ORDER BY part", Vec::new())? {
        Some(data) => Monitor::restore(call.now, monitor_config(), &data).unwrap_or_else(|error| {
            // Counters of an older version: better to begin anew than not to count.
            worker::console_error!("the monitor begins anew: {error}");
            fresh()
        }),
        None => fresh(),
    };
    Ok(Monitoring::of(monitor, allocations))
}

fn save(state: &State, monitor: &Monitor) -> Result<(), StoreError> {
    let database = Database::new(state.storage(), SCHEMA)?;
    let snapshot = monitor.snapshot();
    let mut round: Vec<(&'static str, Vec<SqlStorageValue>)> =
        vec![("DELETE FROM monitor", Vec::new())];
    for (part, data) in parts(&snapshot) {
        let sql = "INSERT INTO monitor(part, data) VALUES(?, ?)";
        round.push((sql, vec![int(part), data]));
    }
    database.transaction(round)
}

fn save_allocations(state: &State, allocations: &AllocationTracker) -> Result<(), StoreError> {
    let database = Database::new(state.storage(), SCHEMA)?;
    let sql = "INSERT OR REPLACE INTO allocations(id, data) VALUES(1, ?)";
    let data = SqlStorageValue::Blob(postcard::to_allocvec(allocations)?);
    database.transaction(vec![(sql, vec![data])])
}

fn unreadable(error: StoreError) -> ApiError {
    let message = format!("the monitor's storage: {error}");
    ApiError::new(ErrorCode::Unavailable, message)
}
