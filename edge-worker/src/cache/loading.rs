//! Read-through: a value that is missing is loaded from its origin, once however many ask.

use std::{borrow::Cow, time::Duration};

use futures_util::{
    StreamExt as _,
    future::{Either, select},
    pin_mut,
};
use serde_json::value::RawValue;
use sommos_core::wire::{
    ApiError, ErrorCode,
    cache::{self as wire, CacheGetOrLoad, CacheGetOrLoadRequest, CacheSet},
    decode, envelope,
};
use worker::{Context, Delay, Fetch};

use super::{
    group_of, line_of, local,
    reading::{self, Read, resolve},
    store,
};
use crate::{
    body,
    call::{Call, Object},
    http::{Answer, Asked, json},
    objects::cache::{Command, Loading},
};

const NONE: [&[u8]; 0] = [];

/// POST /cache/get-or-load.
pub(super) async fn get_or_load(asked: &mut Asked<'_>) -> Result<Answer, ApiError> {
    let body = body::read(asked).await?;
    let (call, context) = (asked.call, asked.context);
    let request = CacheGetOrLoadRequest::decode(&body, &call.settings.limits)?;
    let url = loader(call, &request.loader)?.to_owned();
    let key = request.key.as_ref();
    let group = group_of(call, key);
    let near = local::peek(call, key);
    let command = Command::Load {
        key: key.to_owned(),
        known: near.as_ref().map_or(0, |near| near.version),
    };
    let frame = call
        .ask::<_, Loading>(Object::Cache(group), &command, &NONE)
        .await?;
    let frame = frame
        .ok_or_else(|| ApiError::new(ErrorCode::Internal, "a group of the cache said nothing"))?;
    let mut blobs = frame.blobs.into_iter();
    let found = match frame.head {
        Loading::Yours(token) => {
            let value = load(call, &url, &request, token).await?;
            return reading::answer(
                call,
                Read {
                    value: value.as_bytes().into(),
                    checked: call.now,
                },
            );
        }
        Loading::Here(found) => found,
        Loading::Stale(found, token) => {
            if let Some(token) = token {
                refresh(call, context, url, &request, token);
            }
            found
        }
    };
    let near = resolve(call, group, key, found, near.as_ref(), &mut blobs).await?;
    let near = near.ok_or_else(wire::key_not_found)?;
    let read = Read {
        value: near.value.clone(),
        checked: near.checked,
    };
    if call.now < near.fresh_until {
        local::keep(call, key, near);
    }
    reading::answer(call, read)
}

/// The URL of an allowed loader: a caller names a loader, never an address.
fn loader<'a>(call: &'a Call, name: &str) -> Result<&'a str, ApiError> {
    let loaders = &call.settings.cache.loaders;
    loaders.get(name).map(String::as_str).ok_or_else(|| {
        let names: Vec<_> = loaders.keys().map(String::as_str).collect();
        ApiError::unknown("loader", "loader", name, &names)
    })
}

/// Loads anew after the answer: a stale value was given.
fn refresh(call: &Call, context: &Context, url: String, request: &CacheGetOrLoad<'_>, token: u64) {
    let call = call.clone();
    let request = CacheGetOrLoad {
        key: Cow::Owned(request.key.clone().into_owned()),
        loader: Cow::Owned(request.loader.clone().into_owned()),
        ttl_ms: request.ttl_ms,
        stale_ttl_ms: request.stale_ttl_ms,
        tags: request
            .tags
            .iter()
            .map(|tag| Cow::Owned(tag.clone().into_owned()))
            .collect(),
    };
    context.wait_until(async move {
        if let Err(error) = load(&call, &url, &request, token).await {
            worker::console_error!("a stale value was not loaded anew: {error}");
        }
    });
}

/// Loads a value under the right that `token` is, and tells the group.
async fn load(
    call: &Call,
    url: &str,
    request: &CacheGetOrLoad<'_>,
    token: u64,
) -> Result<Box<str>, ApiError> {
    let group = Object::Cache(group_of(call, &request.key));
    match fetch(call, url, &request.key).await {
        Ok(value) => {
            let set = CacheSet {
                key: Cow::Borrowed(&request.key),
                value: &value,
                ttl_ms: request.ttl_ms,
                stale_ttl_ms: request.stale_ttl_ms,
                tags: request.tags.clone(),
            };
            let command = Command::Loaded {
                token,
                line: line_of(&set),
            };
            call.ask::<_, Option<u64>>(group, &command, &[value.as_bytes()])
                .await?;
            Ok(value)
        }
        Err(error) => {
            let command = Command::Failed {
                key: request.key.clone().into_owned(),
                token,
                code: error.code,
                message: error.message.clone().into_owned(),
            };
            call.ask::<_, ()>(group, &command, &NONE).await?;
            Err(error)
        }
    }
}

/// A value from its origin: the JSON that a GET of the loader's URL answers.
async fn fetch(call: &Call, template: &str, key: &str) -> Result<Box<str>, ApiError> {
    let url = template.replace(
        "{key}",
        &String::from(worker::js_sys::encode_uri_component(key)),
    );
    let request = worker::Request::new(&url, worker::Method::Get).map_err(|error| {
        let message = format!("the loader's URL {template:?} with this key: {error}");
        ApiError::new(ErrorCode::Internal, message)
    })?;
    let timeout_ms = call.settings.cache.load_timeout_ms;
    let loading = async {
        let mut response = Fetch::Request(request).send().await.map_err(failed)?;
        match response.status_code() {
            200 => {}
            404 => return Err(wire::key_not_found()),
            status => return Err(failed(format!("it answered {status}"))),
        }
        read(&mut response, call.settings.limits.cache_value_bytes).await
    };
    let timeout = Delay::from(Duration::from_millis(timeout_ms));
    pin_mut!(loading, timeout);
    let text = match select(loading, timeout).await {
        Either::Left((text, _)) => text?,
        Either::Right(_) => return Err(failed(format!("no answer within {timeout_ms} ms"))),
    };
    let value: Box<RawValue> =
        serde_json::from_slice(&text).map_err(|error| failed(format!("no JSON: {error}")))?;
    Ok(value.get().into())
}

async fn read(response: &mut worker::Response, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut text = Vec::new();
    let mut stream = response.stream().map_err(failed)?;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(failed)?;
        if text.len() + piece.len() > limit {
            let size = format!("more than {limit}");
            return Err(ApiError::too_large("value", size, limit as u64));
        }
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

fn failed(error: impl core::fmt::Display) -> ApiError {
    let message = format!("the loader's origin: {error}");
    ApiError::new(ErrorCode::Unavailable, message)
}

/// POST /cache/warm with a loader and keys.
pub(super) async fn warm(asked: &mut Asked<'_>) -> Result<Answer, ApiError> {
    let body = body::read(asked).await?;
    let (call, context) = (asked.call, asked.context);
    let limits = &call.settings.limits;
    let request: wire::CacheWarmRequest = decode::body(&body, limits)?;
    let name = request.loader.as_deref().ok_or_else(|| {
        let message = "A loader is required, or a body of application/x-ndjson";
        ApiError::missing("loader", message)
    })?;
    let url = loader(call, name)?;
    let keys = request.keys.ok_or_else(|| {
        let message = "Keys are required: the origin of a loader here answers one key at a time";
        ApiError::missing("keys", message)
    })?;
    if keys.len() > limits.cache_batch_keys {
        let most = limits.cache_batch_keys as u64;
        return Err(ApiError::over("keys", "keys", keys.len(), most));
    }
    let mut warmed = wire::CacheWarmed {
        warmed: 0,
        missing: 0,
    };
    for key in &keys {
        let stored = async {
            let value = fetch(call, url, key).await?;
            let set = CacheSet {
                key: Cow::Borrowed(key),
                value: &value,
                ttl_ms: request.ttl,
                stale_ttl_ms: None,
                tags: Vec::new(),
            };
            store(call, context, &[set]).await
        };
        match stored.await {
            Ok(()) => warmed.warmed += 1,
            Err(_) => warmed.missing += 1,
        }
    }
    Ok(json(&envelope::data(&warmed)?))
}
