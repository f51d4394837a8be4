//! Keys and tags, as they come in bodies and paths.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer as _, de};
use serde_json::value::RawValue;

use crate::{
    limits::Limits,
    wire::{
        decode,
        error::{ApiError, ErrorCode},
    },
};

/// A key from a path, percent-decoded and checked.
///
/// # Errors
/// 400 or 422 naming the key.
pub fn decode_path_key(param: &str, limits: &Limits) -> Result<String, ApiError> {
    let key = decode::percent_decode(param);
    check_key(&key, limits)?;
    Ok(key)
}

/// A tag from a path, percent-decoded and checked.
///
/// # Errors
/// 400 or 422 naming the tag.
pub fn decode_path_tag(param: &str, limits: &Limits) -> Result<String, ApiError> {
    let tag = decode::percent_decode(param);
    decode::name("tag", &tag, limits.name_bytes)?;
    Ok(tag)
}

/// A string key is itself; any other JSON value is known by its canonical text: members sorted,
/// no spaces. So an object key can be asked for in a path by that text.
pub(super) fn canonical_key<'a>(
    raw: &'a RawValue,
    limits: &Limits,
) -> Result<Cow<'a, str>, ApiError> {
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

pub(super) fn check_key(key: &str, limits: &Limits) -> Result<(), ApiError> {
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

/// The tags of an entry. Reading ends at the first that is refused: texts take more memory than
/// their JSON.
pub(super) fn tags<'a>(
    raw: Option<&'a RawValue>,
    limits: &Limits,
) -> Result<Vec<Cow<'a, str>>, ApiError> {
    let Some(raw) = raw else {
        return Ok(Vec::new());
    };
    let mut reading = Reading {
        limits,
        tags: Vec::new(),
        refused: None,
    };
    let mut json = serde_json::Deserializer::from_str(raw.get());
    match json.deserialize_seq(&mut reading) {
        Ok(()) => Ok(reading.tags),
        Err(error) => Err(reading.refused.unwrap_or_else(|| {
            let what = error.to_string();
            // Where in the array is no help: the place would be counted from its bracket.
            ApiError::invalid("tags", what.split(" at line ").next().unwrap_or(&what))
        })),
    }
}

struct Reading<'l, 'a> {
    limits: &'l Limits,
    tags: Vec<Cow<'a, str>>,
    refused: Option<ApiError>,
}

impl<'a> Reading<'_, 'a> {
    fn take(&mut self, tag: Cow<'a, str>) -> Result<(), ApiError> {
        let most = self.limits.cache_tags;
        if self.tags.len() >= most {
            // The rest is not counted.
            let message = format!("tags: over the limit of {most} tags");
            return Err(ApiError::new(ErrorCode::LimitExceeded, message).at("tags"));
        }
        decode::name("tags", &tag, self.limits.name_bytes)?;
        self.tags.push(tag);
        Ok(())
    }
}

/// A text that is borrowed where it has no escapes; in a sequence `Cow` alone would copy it.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> de::Visitor<'a> for &mut Reading<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("an array of strings")
    }

    fn visit_seq<A: de::SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(Text(tag)) = seq.next_element()? {
            if let Err(error) = self.take(tag) {
                let message = de::Error::custom(&error.message);
                self.refused = Some(error);
                return Err(message);
            }
        }
        Ok(())
    }
}
