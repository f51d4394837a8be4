use std::borrow::Cow;

use super::requests::*;
use crate::{limits::Limits, wire::ApiError};

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

#[test]
fn tags_and_stale_time_are_read_and_refused_by_their_names() {
    let decode = |fields: &str| {
        let body = format!(r#"{{"key":"a","value":1,{fields}}}"#);
        let limits = Limits {
            cache_tags: 2,
            name_bytes: 4,
            ..Limits::default()
        };
        CacheSetRequest::decode(body.as_bytes(), &limits)
            .map(|s| (s.stale_ttl_ms, s.tags.join("|")))
            .map_err(|e| {
                (
                    e.field.unwrap_or_default().into_owned(),
                    e.message.into_owned(),
                )
            })
    };
    let tags = decode(r#""staleTtl":5,"tags":["x","\"y"]"#).unwrap();
    assert_eq!(tags, (Some(5), "x|\"y".to_owned()));
    assert_eq!(decode(r#""tags":[]"#), Ok((None, String::new())));
    assert_eq!(decode(r#""tags":null"#), Ok((None, String::new())));
    for (fields, field, message) in [
        (
            r#""tags":["a","b","c"]"#,
            "tags",
            "tags: over the limit of 2 tags",
        ),
        (r#""tags":[""]"#, "tags", "must not be empty"),
        (r#""tags":["abcde"]"#, "tags", "5 bytes"),
        (r#""tags":"abc""#, "tags", "expected an array of strings"),
        (
            r#""tags":["a",1]"#,
            "tags",
            "integer `1`, expected a string",
        ),
        (r#""tags":{"a":1}"#, "tags", "expected an array of strings"),
        (r#""staleTtl":0"#, "staleTtl", "outside 1..="),
        (r#""staleTtl":-1"#, "staleTtl", "-1"),
    ] {
        let error = decode(fields).unwrap_err();
        assert_eq!(error.0, field, "{fields}");
        assert!(error.1.contains(message), "{fields}: {}", error.1);
    }
}

#[test]
fn a_read_through_needs_a_key_and_a_loader() {
    let decode = |body: &str| {
        CacheGetOrLoadRequest::decode(body.as_bytes(), &Limits::default())
            .map(|r| (r.key.into_owned(), r.loader.into_owned(), r.ttl_ms))
            .map_err(|e| e.field.unwrap_or_default().into_owned())
    };
    let read = decode(r#"{"key":7,"loader":"wines","ttl":9}"#);
    assert_eq!(read, Ok(("7".into(), "wines".into(), Some(9))));
    assert_eq!(decode(r#"{"loader":"wines"}"#), Err("key".into()));
    assert_eq!(decode(r#"{"key":"a"}"#), Err("loader".into()));
}
