//! A group of cache keys: the authority on what they hold. Which entries there are, their versions
//! and tags, and who loads a missing one, is decided here alone; values may be answered elsewhere
//! by their version.

#![expect(missing_docs, reason = "`durable_object` writes methods without")]

use std::{cell::RefCell, rc::Rc, time::Duration};

use serde::{Deserialize, Serialize};
use sommos_core::{
    cache::CacheStats,
    service::Response,
    time::Timestamp,
    wire::{ApiError, ErrorCode},
};
use worker::{Delay, DurableObject, Env, State, durable_object};

use super::{
    directory::{Directory, Entry, Flight},
    framed, nothing,
};
use crate::{
    call::{Call, refuse, respond},
    frame::{self, Frame},
};

/// Values up to this are answered with the version, bytes; larger ones are fetched by it.
pub(crate) const INLINE_BYTES: usize = 32 << 10;
/// Between two looks of one who waits for a load, milliseconds.
const LOOK_MS: u64 = 15;

/// A value that is set; beside it the value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SetLine {
    pub(crate) key: String,
    pub(crate) ttl_ms: Option<u64>,
    pub(crate) stale_ms: u64,
    pub(crate) tags: Vec<String>,
    pub(crate) weight: u64,
}

/// What a group is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// The values of keys, of which these versions are known (0: none). `touched` are keys that
    /// were answered without asking. With `large`, large values too are answered.
    Read {
        keys: Vec<(String, u64)>,
        touched: Vec<String>,
        large: bool,
    },
    /// Sets values; beside it the values.
    Set(Vec<SetLine>),
    Delete(String),
    Clear,
    /// Invalidates a tag.
    Tag(String),
    /// Keys, at most so many.
    Keys(usize),
    Stats(Vec<String>),
    /// The value of a key, or the right to load it.
    Load {
        key: String,
        known: u64,
    },
    /// The value that was loaded under this right; beside it the value.
    Loaded {
        token: u64,
        line: SetLine,
    },
    /// The load failed.
    Failed {
        key: String,
        token: u64,
        code: ErrorCode,
        message: String,
    },
    /// Nothing: look at the clock.
    Tick,
}

/// What a key holds. A value travels beside it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Found {
    Absent,
    /// The version that is known.
    Same {
        fresh_until: u64,
    },
    Value {
        version: u64,
        fresh_until: u64,
    },
    /// A large value, to be fetched by its version.
    Large {
        version: u64,
        fresh_until: u64,
    },
}

/// The answer to [`Command::Load`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Loading {
    /// A fresh value.
    Here(Found),
    /// A stale value; with a token whoever asked loads it anew.
    Stale(Found, Option<u64>),
    /// Whoever asked loads it.
    Yours(u64),
}

/// A group's object.
#[durable_object]
pub struct CacheGroup {
    state: State,
    env: Env,
    directory: RefCell<Option<Directory>>,
}

impl DurableObject for CacheGroup {
    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            directory: RefCell::new(None),
        }
    }

    async fn fetch(&self, mut request: worker::Request) -> worker::Result<worker::Response> {
        let body = request.bytes().await?;
        let response = match self.command(&body).await {
            Ok(response) => response,
            Err(error) => refuse(&error),
        };
        respond(response)
    }
}

impl CacheGroup {
    async fn command(&self, body: &[u8]) -> Result<Response, ApiError> {
        let frame: Frame<(Option<String>, Command)> = frame::decode(body)?;
        let (control, command) = frame.head;
        let call = Call::new(&self.env, control.as_deref())?;
        match command {
            Command::Load { key, known } => self.load(&call, &key, known).await,
            command => self.with(&call, |directory, now| {
                execute(directory, now, command, frame.blobs)
            }),
        }
    }

    /// Runs a step on the directory and writes what it changed. One that could not write is ahead
    /// of its storage: the next call restores it.
    fn with<T>(
        &self,
        call: &Call,
        step: impl FnOnce(&mut Directory, Timestamp) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut directory = match self.directory.take() {
            Some(directory) => directory,
            None => Directory::load(&self.state, &call.settings.cache, call.now)?,
        };
        directory.cleanup(call.now);
        let answer = step(&mut directory, call.now);
        directory.commit()?;
        self.directory.replace(Some(directory));
        answer
    }

    /// The value of a key, or the right to load it; waits while another loads.
    async fn load(&self, call: &Call, key: &str, known: u64) -> Result<Response, ApiError> {
        let timeout_ms = call.settings.cache.load_timeout_ms;
        let mut awaited = None;
        let mut waited_ms = 0;
        loop {
            let clock = crate::call::now();
            let flight = self.with(call, |directory, now| {
                directory.flight(now, clock, key, awaited, timeout_ms)
            })?;
            match flight {
                Flight::Fresh(entry) => {
                    return self.with(call, |directory, _| {
                        let (found, blob) = value(directory, entry, known, false)?;
                        framed(&Loading::Here(found), blob.as_slice())
                    });
                }
                Flight::Stale(entry, token) => {
                    return self.with(call, |directory, _| {
                        let (found, blob) = value(directory, entry, known, false)?;
                        framed(&Loading::Stale(found, token), blob.as_slice())
                    });
                }
                Flight::Yours(token) => return framed(&Loading::Yours(token), NONE),
                Flight::Failed(error) => return Err(error),
                Flight::Wait(token) => awaited = Some(token),
            }
            if waited_ms > timeout_ms {
                let message = format!("the value was not loaded within {timeout_ms} ms");
                return Err(ApiError::new(ErrorCode::Unavailable, message));
            }
            Delay::from(Duration::from_millis(LOOK_MS)).await;
            waited_ms += LOOK_MS;
        }
    }
}

/// No bytes beside the head.
const NONE: &[&[u8]] = &[];

/// What is told of an entry, and its value if that goes with it.
type Told = (Found, Option<Rc<[u8]>>);

/// What is told of an entry to one who knows the version `known`.
fn value(directory: &Directory, entry: Entry, known: u64, large: bool) -> Result<Told, ApiError> {
    let Entry {
        version,
        bytes,
        fresh_until,
    } = entry;
    let fresh_until = fresh_until.0;
    if version == known {
        return Ok((Found::Same { fresh_until }, None));
    }
    if bytes > INLINE_BYTES && !large {
        let found = Found::Large {
            version,
            fresh_until,
        };
        return Ok((found, None));
    }
    let found = Found::Value {
        version,
        fresh_until,
    };
    Ok((found, Some(directory.value(version)?)))
}

fn execute(
    directory: &mut Directory,
    now: Timestamp,
    command: Command,
    blobs: Vec<Vec<u8>>,
) -> Result<Response, ApiError> {
    match command {
        Command::Read {
            keys,
            touched,
            large,
        } => {
            directory.touch(now, &touched);
            let (mut found, mut values) = (Vec::new(), Vec::new());
            for (key, known) in keys {
                let one = match directory.get(now, &key) {
                    None => Found::Absent,
                    Some(entry) => {
                        let (one, blob) = value(directory, entry, known, large)?;
                        values.extend(blob);
                        one
                    }
                };
                found.push(one);
            }
            framed(&found, &values)
        }
        Command::Set(lines) => {
            let mut versions = Vec::new();
            for (line, blob) in lines.iter().zip(blobs) {
                versions.push(directory.set(now, line, blob)?);
            }
            framed(&versions, NONE)
        }
        Command::Delete(key) => framed(&directory.remove(now, &key), NONE),
        Command::Clear => framed(&directory.clear(), NONE),
        Command::Tag(tag) => framed(&directory.invalidate(now, &tag), NONE),
        Command::Keys(limit) => framed(&directory.keys(now, limit), NONE),
        Command::Stats(touched) => {
            directory.touch(now, &touched);
            let stats: CacheStats = directory.stats();
            framed(&stats, NONE)
        }
        Command::Loaded { token, line } => {
            let blob = blobs.into_iter().next().unwrap_or_default();
            framed(&directory.land(now, token, &line, blob)?, NONE)
        }
        Command::Failed {
            key,
            token,
            code,
            message,
        } => {
            directory.fail(&key, token, ApiError::new(code, message));
            Ok(nothing())
        }
        // Waits for others: answered before.
        Command::Load { .. } | Command::Tick => Ok(nothing()),
    }
}
