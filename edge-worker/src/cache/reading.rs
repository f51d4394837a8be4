//! Reads: from memory while the staleness bound holds, else by asking the key's group.

use sommos_core::{
    service::Response,
    time::Timestamp,
    wire::{ApiError, ErrorCode, cache as wire, decode, envelope},
};
use worker::Context;

use super::{
    Value, group_of,
    local::{self, Near},
};
use crate::{
    call::{Call, Object},
    http::Answer,
    objects::cache::{Command, Found},
};

/// How old an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consistency {
    /// As old as the configured bound.
    Bounded,
    /// As new as the group.
    Strong,
}

impl Consistency {
    /// `?consistency=strong` asks for the newest.
    pub(super) fn of(query: &str) -> Result<Self, ApiError> {
        match decode::query_value(query, "consistency").as_deref() {
            None | Some("bounded") => Ok(Self::Bounded),
            Some("strong") => Ok(Self::Strong),
            Some(other) => {
                let what = format!("expected bounded or strong, got {other:?}");
                Err(ApiError::invalid("consistency", what))
            }
        }
    }
}

/// A value and since when it has not been looked at anew.
pub(super) struct Read {
    pub(super) value: Value,
    pub(super) checked: Timestamp,
}

/// GET cache/get/{key}; the header `age` says for how many seconds the value was not looked at.
pub(super) async fn get(
    call: &Call,
    context: &Context,
    key: &str,
    consistency: Consistency,
) -> Result<Answer, ApiError> {
    let found = read(call, context, &[key], consistency).await?;
    let read = found.into_iter().next().flatten();
    answer(call, read.ok_or_else(wire::key_not_found)?)
}

/// The answer of a value, with its age.
pub(super) fn answer(call: &Call, read: Read) -> Result<Answer, ApiError> {
    let age = call.now.ms_since(read.checked) / 1000;
    let response = Response::json(envelope::raw_data(&read.value));
    let sent = crate::call::respond(response)
        .and_then(|response| {
            let length = response_length(&read.value);
            response.headers().set("age", &age.to_string())?;
            response.headers().set("content-length", &length)?;
            Ok(response)
        })
        .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))?;
    Ok(Answer::Sent(sent))
}

fn response_length(value: &[u8]) -> String {
    (value.len() + envelope::DATA_BYTES).to_string()
}

fn usable(call: &Call, near: &Near, consistency: Consistency) -> bool {
    let bound = u64::from(call.settings.cache.staleness_s) * 1000;
    consistency == Consistency::Bounded
        && bound > 0
        && call.now < near.fresh_until
        && call.now.ms_since(near.checked) <= bound
}

/// The values of keys, in their order.
pub(super) async fn read(
    call: &Call,
    context: &Context,
    keys: &[&str],
    consistency: Consistency,
) -> Result<Vec<Option<Read>>, ApiError> {
    let mut reads: Vec<Option<Read>> = keys.iter().map(|_| None).collect();
    let mut asks: Vec<(usize, Option<Near>)> = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let mut near = local::peek(call, key);
        let elsewhere = call.settings.cache.staleness_s > 0 && keys.len() == 1;
        if near.is_none() && elsewhere && consistency == Consistency::Bounded {
            near = local::near(call, key).await;
        }
        match near {
            Some(near) if usable(call, &near, consistency) => {
                local::touch(call, group_of(call, key), key);
                reads[index] = Some(Read {
                    value: near.value.clone(),
                    checked: near.checked,
                });
                local::keep(call, key, near);
            }
            near => asks.push((index, near)),
        }
    }
    for group in 0..call.settings.cache.groups {
        let of_group: Vec<_> = asks
            .iter()
            .filter(|(index, _)| group_of(call, keys[*index]) == group)
            .collect();
        if of_group.is_empty() {
            continue;
        }
        ask(call, context, group, keys, &of_group, &mut reads).await?;
    }
    Ok(reads)
}

async fn ask(
    call: &Call,
    context: &Context,
    group: u32,
    keys: &[&str],
    asks: &[&(usize, Option<Near>)],
    reads: &mut [Option<Read>],
) -> Result<(), ApiError> {
    let none: [&[u8]; 0] = [];
    let known = |near: &Option<Near>| near.as_ref().map_or(0, |near| near.version);
    let command = Command::Read {
        keys: asks
            .iter()
            .map(|(index, near)| (keys[*index].to_owned(), known(near)))
            .collect(),
        touched: local::take_touched(call, group),
        large: false,
    };
    let frame = call
        .ask::<_, Vec<Found>>(Object::Cache(group), &command, &none)
        .await?;
    let Some(frame) = frame else { return Ok(()) };
    let mut blobs = frame.blobs.into_iter();
    for ((index, near), found) in asks.iter().zip(frame.head) {
        let key = keys[*index];
        let near = resolve(call, group, key, found, near.as_ref(), &mut blobs).await?;
        if let Some(near) = near {
            reads[*index] = Some(Read {
                value: near.value.clone(),
                checked: near.checked,
            });
            local::share(call, context, key, &near, keys.len());
            local::keep(call, key, near);
        }
    }
    Ok(())
}

/// The value that a group told of.
pub(super) async fn resolve(
    call: &Call,
    group: u32,
    key: &str,
    found: Found,
    known: Option<&Near>,
    blobs: &mut impl Iterator<Item = Vec<u8>>,
) -> Result<Option<Near>, ApiError> {
    let near = |version, value, fresh_until| Near {
        version,
        value,
        checked: call.now,
        fresh_until: Timestamp(fresh_until),
    };
    Ok(match found {
        Found::Absent => None,
        Found::Same { fresh_until } => {
            known.map(|known| near(known.version, known.value.clone(), fresh_until))
        }
        Found::Value {
            version,
            fresh_until,
        } => {
            let value = blobs.next().unwrap_or_default();
            Some(near(version, value.into(), fresh_until))
        }
        Found::Large {
            version,
            fresh_until,
        } => match local::replica(call, group, version).await {
            Some(value) => Some(near(version, value, fresh_until)),
            None => large(call, group, key).await?,
        },
    })
}

/// A large value from the group itself: its copy has not come so far.
async fn large(call: &Call, group: u32, key: &str) -> Result<Option<Near>, ApiError> {
    let none: [&[u8]; 0] = [];
    let command = Command::Read {
        keys: vec![(key.to_owned(), 0)],
        touched: Vec::new(),
        large: true,
    };
    let frame = call
        .ask::<_, Vec<Found>>(Object::Cache(group), &command, &none)
        .await?;
    let Some(frame) = frame else { return Ok(None) };
    let value = frame.blobs.into_iter().next();
    Ok(match (frame.head.first(), value) {
        (
            Some(Found::Value {
                version,
                fresh_until,
            }),
            Some(value),
        ) => Some(Near {
            version: *version,
            value: value.into(),
            checked: call.now,
            fresh_until: Timestamp(*fresh_until),
        }),
        _ => None,
    })
}
