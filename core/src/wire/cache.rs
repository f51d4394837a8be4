//! Cache calls.

use std::borrow::Cow;

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    decode,
    error::{ApiError, ErrorCode},
};
use crate::{cache::CacheStats, limits::Limits};

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
}

impl<'a> CacheSetRequest<'a> {
    /// Decodes and checks a body.
    ///
    /// # Errors
    /// 400 or 413 naming the field.
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
            ttl_ms: check_ttl(request.ttl, limits)?,
        })
    }
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
        let ttl_ms = check_ttl(request.ttl, limits)?;
        entries
            .into_iter()
            .map(|(key, value)| {
                check_key(&key, limits)?;
                check_value("entries", value.get(), limits)?;
                Ok(CacheSet {
                    key,
                    value: value.get(),
                    ttl_ms,
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

/// `data` of POST /cache/warm.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheWarmed {
    /// Entries now in the cache.
    pub warmed: usize,
    /// Keys that the loader does not have, or lines that were refused.
    pub missing: usize,
}

/// `data` of POST /cache/set-many.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheSetManyResponse {
    /// Values set.
    pub set: usize,
}

/// The message of POST /cache/set.
pub const CACHED: &str = "Value cached successfully";
/// The message of DELETE /cache/delete.
pub const DELETED: &str = "Key deleted from cache";
/// Keys of one page of GET /cache/keys.
pub const KEYS_MAX: u64 = 10_000;

/// What a value weighs in the cache, bytes: its key and its answer. The same in every shell, so
/// that they evict alike.
#[must_use]
pub fn weight_bytes(set: &CacheSet<'_>) -> u64 {
    (set.key.len() + set.value.len() + super::envelope::DATA_BYTES) as u64
}

/// The message of DELETE /cache/clear.
#[must_use]
pub fn cleared(count: usize) -> String {
    format!("Cleared {count} cache entries")
}

/// `data` of POST /cache/get-many: `{"results":{key:value},"missing":[key]}`, written around values
/// that are JSON already.
///
/// # Errors
/// `TOO_LARGE` when the answer would be over `max_bytes`.
pub fn encode_many<'k, V: AsRef<[u8]>>(
    found: impl Iterator<Item = (&'k str, Option<V>)>,
    max_bytes: usize,
) -> Result<Vec<u8>, ApiError> {
    let mut out = br#"{"success":true,"data":{"results":{"#.to_vec();
    let mut missing = Vec::new();
    let mut first = true;
    for (key, value) in found {
        let Some(value) = value else {
            missing.push(key);
            continue;
        };
        if !core::mem::take(&mut first) {
            out.push(b',');
        }
        out.extend_from_slice(&super::envelope::encode(&key)?);
        out.push(b':');
        out.extend_from_slice(value.as_ref());
        if out.len() > max_bytes {
            return Err(ApiError::too_large("keys", out.len(), max_bytes as u64));
        }
    }
    out.extend_from_slice(br#"},"missing":"#);
    out.extend_from_slice(&super::envelope::encode(&missing)?);
    out.extend_from_slice(b"}}");
    Ok(out)
}

/// `data` of GET /cache/stats.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheStatsResponse {
    /// Gets that found a live value.
    pub hits: u64,
    /// Gets that did not.
    pub misses: u64,
    /// Entries removed to keep a limit.
    pub evictions: u64,
    /// Entries removed because their time was over.
    pub expirations: u64,
    /// Sets.
    pub sets: u64,
    /// Deletes that removed something.
    pub deletes: u64,
    /// hits / (hits + misses), 0..1, two decimals.
    pub hit_rate: f64,
    /// Entries.
    pub size: usize,
    /// Most entries.
    pub max_size: usize,
    /// size / maxSize, 0..1.
    pub utilization: f64,
    /// Bytes of keys, values and bookkeeping.
    pub memory_usage: u64,
    /// Most bytes.
    pub max_memory: u64,
}

impl CacheStatsResponse {
    /// The statistics of one cache that is kept in several parts.
    #[must_use]
    pub fn sum(parts: &[CacheStats], max_memory: u64) -> Self {
        let sum = |field: fn(&CacheStats) -> u64| parts.iter().map(field).sum::<u64>();
        let (hits, misses) = (sum(|s| s.hits), sum(|s| s.misses));
        let size: usize = parts.iter().map(|s| s.size).sum();
        let max_size: usize = parts.iter().map(|s| s.max_size).sum();
        Self {
            hits,
            misses,
            evictions: sum(|s| s.evictions),
            expirations: sum(|s| s.expirations),
            sets: sum(|s| s.sets),
            deletes: sum(|s| s.deletes),
            hit_rate: two_decimals(hits as f64, (hits + misses) as f64),
            size,
            max_size,
            utilization: two_decimals(size as f64, max_size as f64),
            memory_usage: sum(|s| s.memory_usage),
            max_memory,
        }
    }
}

/// `part / whole` rounded to two decimals, as SommOS shows it; 0 of nothing.
fn two_decimals(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        (part / whole * 100.0).round() / 100.0
    } else {
        0.0
    }
}

/// `data` of GET /cache/keys.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheKeysResponse {
    /// Live keys, at most the page's length.
    pub keys: Vec<String>,
    /// Live entries in all.
    pub total: usize,
}

/// A key from a path, percent-decoded and checked.
///
/// # Errors
/// 400 or 422 naming the key.
pub fn decode_path_key(param: &str, limits: &Limits) -> Result<String, ApiError> {
    let key = decode::percent_decode(param);
    check_key(&key, limits)?;
    Ok(key)
}

/// The answer of a get that found nothing.
#[must_use]
pub fn key_not_found() -> ApiError {
    ApiError::new(ErrorCode::KeyNotFound, "Key not found in cache").at("key")
}

/// A string key is itself; any other JSON value is known by its canonical text: members sorted,
/// no spaces. So an object key can be asked for in a path by that text.
fn canonical_key<'a>(raw: &'a RawValue, limits: &Limits) -> Result<Cow<'a, str>, ApiError> {
    let text = raw.get();
    let key: Cow<'a, str> = if text.starts_with('"') {
        let inner = &text[1..text.len() - 1];
        if inner.contains('\\') {
            Cow::Owned(decode::part::<String>(raw, "key")?)
        } else {
            Cow::Borrowed(inner)
        }
    } else {
        let value: serde_json::Value = decode::part(raw, "key")?;
        Cow::Owned(canonical_json(&value))
    };
    check_key(&key, limits)?;
    Ok(key)
}

/// JSON with sorted members and no spaces.
#[must_use]
pub fn canonical_json(value: &serde_json::Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}

fn check_key(key: &str, limits: &Limits) -> Result<(), ApiError> {
    if key.is_empty() {
        return Err(ApiError::invalid("key", "must not be empty"));
    }
    if key.len() > limits.cache_key_bytes {
        return Err(ApiError::over(
            "key",
            "bytes",
            key.len(),
            limits.cache_key_bytes as u64,
        ));
    }
    Ok(())
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

fn check_ttl(ttl: Option<u64>, limits: &Limits) -> Result<Option<u64>, ApiError> {
    match ttl {
        None => Ok(None),
        Some(_) => decode::in_range("ttl", ttl, 1..=limits.ttl_ms, "milliseconds", 0).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(body: &str) -> Result<(String, String, Option<u64>), ApiError> {
        CacheSetRequest::decode(body.as_bytes(), &Limits::default())
            .map(|s| (s.key.into_owned(), s.value.to_owned(), s.ttl_ms))
    }

    #[test]
    fn keys_may_be_any_json_value() {
        let object = set(r#"{"key":{"b":1,"a":[2]},"value":1}"#).unwrap();
        assert_eq!(object.0, r#"{"a":[2],"b":1}"#);
        assert_eq!(set(r#"{"key":"a\"b","value":null}"#).unwrap().1, "null");
        assert_eq!(set(r#"{"key":"a\"b","value":[1, 2]}"#).unwrap().0, "a\"b");
        assert_eq!(set(r#"{"key":7,"value":[1, 2]}"#).unwrap().1, "[1, 2]");
    }

    #[test]
    fn wrong_fields_are_named() {
        let field = |body: &str| set(body).unwrap_err().field.map(Cow::into_owned);
        assert_eq!(field(r#"{"value":1}"#).as_deref(), Some("key"));
        assert_eq!(field(r#"{"key":"","value":1}"#).as_deref(), Some("key"));
        assert_eq!(
            field(r#"{"key":"a","value":1,"ttl":"abc"}"#).as_deref(),
            Some("ttl")
        );
        assert_eq!(
            field(r#"{"key":"a","value":1,"ttl":-5}"#).as_deref(),
            Some("ttl")
        );
        assert_eq!(
            field(r#"{"key":"a","value":1,"ttl":0}"#).as_deref(),
            Some("ttl")
        );
    }
}
