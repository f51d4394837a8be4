//! What the cache calls ask.

use std::borrow::Cow;

use indexmap::{IndexMap, IndexSet};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::key::{self, canonical_key, check_key};
use crate::{
    cache::SetOptions,
    limits::Limits,
    wire::{decode, envelope, error::ApiError},
};

const REQUIRED: &str = "Key and value are required";

/// POST /cache/set.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheSetRequest<'a> {
    /// Any JSON value; one that is no string is known by its canonical JSON.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value, required))]
    key: Option<&'a RawValue>,
    /// Any JSON value, null too.
    #[serde(borrow, default, deserialize_with = "decode::present")]
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value, required))]
    value: Option<&'a RawValue>,
    /// Milliseconds until it expires; absent: the configured default.
    ttl: Option<u64>,
    /// Milliseconds after that for which it may still be answered while it is loaded anew; absent:
    /// none.
    #[serde(rename = "staleTtl")]
    stale_ttl: Option<u64>,
    /// Names by which it can be invalidated together with others.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    tags: Option<&'a RawValue>,
}

/// A checked set: what the cache stores.
#[derive(Debug, PartialEq, Eq)]
pub struct CacheSet<'a> {
    /// The canonical key.
    pub key: Cow<'a, str>,
    /// The value's JSON text, as it arrived.
    pub value: &'a str,
    /// Milliseconds until it expires.
    pub ttl_ms: Option<u64>,
    /// Milliseconds after that for which it is held as stale.
    pub stale_ttl_ms: Option<u64>,
    /// Names by which it can be invalidated.
    pub tags: Vec<Cow<'a, str>>,
}

impl CacheSet<'_> {
    /// How it is stored.
    #[must_use]
    pub fn options(&self) -> SetOptions<'_> {
        SetOptions {
            ttl_ms: self.ttl_ms,
            stale_ms: self.stale_ttl_ms.unwrap_or(0),
            tags: &self.tags,
        }
    }
}

impl<'a> CacheSetRequest<'a> {
    /// Decodes and checks a body.
    ///
    /// # Errors
    /// 400, 413 or 422 naming the field.
    pub fn decode(bytes: &'a [u8], limits: &Limits) -> Result<CacheSet<'a>, ApiError> {
        let request: Self = decode::body(bytes, limits)?;
        let key = request
            .key
            .ok_or_else(|| ApiError::missing("key", REQUIRED))?;
        let value = request
            .value
            .ok_or_else(|| ApiError::missing("value", REQUIRED))?;
        let key = canonical_key(key, limits)?;
        check_value("value", value.get(), limits)?;
        Ok(CacheSet {
            key,
            value: value.get(),
            ttl_ms: check_ttl("ttl", request.ttl, limits)?,
            stale_ttl_ms: check_ttl("staleTtl", request.stale_ttl, limits)?,
            tags: key::tags(request.tags, limits)?,
        })
    }
}

/// What a value weighs in the cache, bytes: its key and its answer. The same in every shell, so
/// that they evict alike.
#[must_use]
pub fn weight_bytes(set: &CacheSet<'_>) -> u64 {
    (set.key.len() + set.value.len() + envelope::DATA_BYTES) as u64
}

/// POST /cache/get-many.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheGetManyRequest<'a> {
    /// Keys, each any JSON value.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<serde_json::Value>, required))]
    keys: Option<Vec<&'a RawValue>>,
}

impl<'a> CacheGetManyRequest<'a> {
    /// Decodes and checks a body: the canonical keys in their order, each once.
    ///
    /// # Errors
    /// 400 or 422 naming the field.
    pub fn decode(bytes: &'a [u8], limits: &Limits) -> Result<IndexSet<Cow<'a, str>>, ApiError> {
        let request: Self = decode::body(bytes, limits)?;
        let keys = request
            .keys
            .ok_or_else(|| ApiError::missing("keys", "Keys are required"))?;
        if keys.len() > limits.cache_batch_keys {
            return Err(ApiError::over(
                "keys",
                "keys",
                keys.len(),
                limits.cache_batch_keys as u64,
            ));
        }
        keys.into_iter()
            .map(|key| canonical_key(key, limits))
            .collect()
    }
}

/// POST /cache/set-many.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheSetManyRequest<'a> {
    /// Values by key.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, serde_json::Value>, required))]
    entries: Option<IndexMap<Cow<'a, str>, &'a RawValue>>,
    /// Milliseconds until they expire.
    ttl: Option<u64>,
    /// Milliseconds after that for which they may still be answered while they are loaded anew; absent:
    /// none.
    #[serde(rename = "staleTtl")]
    stale_ttl: Option<u64>,
    /// Names by which they can be invalidated together.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    tags: Option<&'a RawValue>,
}

impl<'a> CacheSetManyRequest<'a> {
    /// Decodes and checks a body.
    ///
    /// # Errors
    /// 400, 413 or 422 naming the field.
    pub fn decode(bytes: &'a [u8], limits: &Limits) -> Result<Vec<CacheSet<'a>>, ApiError> {
        let request: Self = decode::body(bytes, limits)?;
        let entries = request
            .entries
            .ok_or_else(|| ApiError::missing("entries", "Entries are required"))?;
        if entries.len() > limits.cache_batch_keys {
            let limit = limits.cache_batch_keys as u64;
            return Err(ApiError::over("entries", "entries", entries.len(), limit));
        }
        let ttl_ms = check_ttl("ttl", request.ttl, limits)?;
        let stale_ttl_ms = check_ttl("staleTtl", request.stale_ttl, limits)?;
        let tags = key::tags(request.tags, limits)?;
        entries
            .into_iter()
            .map(|(key, value)| {
                check_key(&key, limits)?;
                check_value("entries", value.get(), limits)?;
                Ok(CacheSet {
                    key,
                    value: value.get(),
                    ttl_ms,
                    stale_ttl_ms,
                    tags: tags.clone(),
                })
            })
            .collect()
    }
}

/// POST /cache/warm with `application/json`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheWarmRequest {
    /// Name of an allowed loader of the configuration.
    pub loader: Option<String>,
    /// Keys to load; absent: all that the loader has.
    pub keys: Option<Vec<String>>,
    /// Milliseconds until they expire.
    pub ttl: Option<u64>,
}

/// One line of an NDJSON warming file: the body of a set.
///
/// # Errors
/// As [`CacheSetRequest::decode`], the message beginning with the line's number.
pub fn decode_warm_line<'a>(
    number: usize,
    line: &'a [u8],
    limits: &Limits,
) -> Result<CacheSet<'a>, ApiError> {
    CacheSetRequest::decode(line, limits).map_err(|error| ApiError {
        message: format!("line {number}: {}", error.message).into(),
        ..error
    })
}

/// POST /cache/get-or-load.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheGetOrLoadRequest<'a> {
    /// Any JSON value.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value, required))]
    key: Option<&'a RawValue>,
    /// Name of an allowed loader of the configuration.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(required))]
    loader: Option<Cow<'a, str>>,
    /// Milliseconds until a loaded value expires; absent: what the loader says.
    ttl: Option<u64>,
    /// Milliseconds after that for which it may still be answered while it is loaded anew; absent:
    /// what the loader says.
    #[serde(rename = "staleTtl")]
    stale_ttl: Option<u64>,
    /// Names by which it can be invalidated; absent or empty: what the loader says.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    tags: Option<&'a RawValue>,
}

/// A checked read-through.
#[derive(Debug, PartialEq, Eq)]
pub struct CacheGetOrLoad<'a> {
    /// The canonical key.
    pub key: Cow<'a, str>,
    /// The loader's name, not yet looked up.
    pub loader: Cow<'a, str>,
    /// Milliseconds until a loaded value expires.
    pub ttl_ms: Option<u64>,
    /// Milliseconds after that for which it is held as stale.
    pub stale_ttl_ms: Option<u64>,
    /// Names by which it can be invalidated.
    pub tags: Vec<Cow<'a, str>>,
}

impl<'a> CacheGetOrLoadRequest<'a> {
    /// Decodes and checks a body.
    ///
    /// # Errors
    /// 400 or 422 naming the field.
    pub fn decode(bytes: &'a [u8], limits: &Limits) -> Result<CacheGetOrLoad<'a>, ApiError> {
        const REQUIRED: &str = "Key and loader are required";
        let request: Self = decode::body(bytes, limits)?;
        let key = request
            .key
            .ok_or_else(|| ApiError::missing("key", REQUIRED))?;
        let loader = request
            .loader
            .ok_or_else(|| ApiError::missing("loader", REQUIRED))?;
        Ok(CacheGetOrLoad {
            key: canonical_key(key, limits)?,
            loader,
            ttl_ms: check_ttl("ttl", request.ttl, limits)?,
            stale_ttl_ms: check_ttl("staleTtl", request.stale_ttl, limits)?,
            tags: key::tags(request.tags, limits)?,
        })
    }
}

fn check_value(field: &'static str, value: &str, limits: &Limits) -> Result<(), ApiError> {
    if value.len() > limits.cache_value_bytes {
        return Err(ApiError::too_large(
            field,
            value.len(),
            limits.cache_value_bytes as u64,
        ));
    }
    Ok(())
}

fn check_ttl(
    field: &'static str,
    ttl: Option<u64>,
    limits: &Limits,
) -> Result<Option<u64>, ApiError> {
    match ttl {
        None => Ok(None),
        Some(_) => decode::in_range(field, ttl, 1..=limits.ttl_ms, "milliseconds", 0).map(Some),
    }
}
