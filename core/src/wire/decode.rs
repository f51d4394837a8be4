//! From bytes to requests: depth, syntax, types and ranges, each refusal naming its field.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{ApiError, ErrorCode};
use crate::limits::Limits;

/// Deepest nesting of arrays and objects in `json`, counted over the bytes outside strings, in one
/// pass and without recursion. Stops early once over `limit`.
#[must_use]
pub fn depth_exceeds(json: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for &byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Parses a request body. The happy path is one pass of serde over the bytes; only a failure is
/// parsed again to learn which field it was.
///
/// # Errors
/// `TOO_LARGE`, `LIMIT_EXCEEDED` (depth), `INVALID_JSON`, or `INVALID_FIELD` with the field's path.
pub fn body<'a, T: Deserialize<'a>>(bytes: &'a [u8], limits: &Limits) -> Result<T, ApiError> {
    check(bytes, limits)?;
    serde_json::from_slice(bytes).map_err(|error| explain::<T>(bytes, &error))
}

/// Parses a part of a body whose place is `field`.
///
/// # Errors
/// As [`body`], the path beginning with `field`.
pub fn part<'a, T: Deserialize<'a>>(raw: &'a RawValue, field: &str) -> Result<T, ApiError> {
    serde_json::from_str(raw.get()).map_err(|error| {
        let mut error = explain::<T>(raw.get().as_bytes(), &error);
        let path = match error.field.take() {
            // The part itself is wrong, not a field of it.
            Some(root) if root == "body" => field.to_owned(),
            Some(inner) => format!("{field}.{inner}"),
            None => field.to_owned(),
        };
        ApiError::new(
            ErrorCode::InvalidField,
            format!("{field}: {}", error.message),
        )
        .at(path)
    })
}

/// Reads an array value by value and hands each to `take` with its index. What `take` refuses ends
/// the reading: values take up to 24 times the bytes of their text, so a wrong or endless array must
/// not become one of values first.
///
/// # Errors
/// As [`part`] when it is no array; that of `take`.
pub fn each(
    raw: &RawValue,
    field: &str,
    take: impl FnMut(usize, serde_json::Value) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    struct Each<F>(F, Option<ApiError>);
    impl<'de, F> serde::de::Visitor<'de> for &mut Each<F>
    where
        F: FnMut(usize, serde_json::Value) -> Result<(), ApiError>,
    {
        type Value = ();
        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("a sequence")
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            let mut index = 0;
            while let Some(value) = seq.next_element()? {
                if let Err(error) = (self.0)(index, value) {
                    let message = serde::de::Error::custom(&error.message);
                    self.1 = Some(error);
                    return Err(message);
                }
                index += 1;
            }
            Ok(())
        }
    }
    let mut each = Each(take, None);
    let mut de = serde_json::Deserializer::from_str(raw.get());
    match serde::Deserializer::deserialize_seq(&mut de, &mut each) {
        Ok(()) => Ok(()),
        Err(error) => Err(each.1.unwrap_or_else(|| {
            let what = error.to_string();
            ApiError::invalid(field, what.split(" at line ").next().unwrap_or(&what))
        })),
    }
}

/// For `deserialize_with`: keeps an explicit `null` as a value, where `Option` alone would drop it.
///
/// # Errors
/// Those of serde.
pub fn present<'de, D>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The checks that come before any parsing.
///
/// # Errors
/// `TOO_LARGE` or `LIMIT_EXCEEDED`.
pub fn check(bytes: &[u8], limits: &Limits) -> Result<(), ApiError> {
    if bytes.len() > limits.body_bytes {
        return Err(ApiError::too_large(
            "body",
            bytes.len(),
            limits.body_bytes as u64,
        ));
    }
    if depth_exceeds(bytes, limits.json_depth) {
        let message = format!(
            "JSON is nested deeper than the limit of {} levels",
            limits.json_depth
        );
        return Err(ApiError::new(ErrorCode::LimitExceeded, message).at("body"));
    }
    Ok(())
}

fn explain<'a, T: Deserialize<'a>>(bytes: &'a [u8], error: &serde_json::Error) -> ApiError {
    use serde_json::error::Category;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return ApiError::new(
            ErrorCode::InvalidJson,
            "the body is empty; a JSON object is expected",
        )
        .at("body");
    }
    if matches!(
        error.classify(),
        Category::Syntax | Category::Eof | Category::Io
    ) {
        return ApiError::new(ErrorCode::InvalidJson, format!("invalid JSON: {error}")).at("body");
    }
    let mut de = serde_json::Deserializer::from_slice(bytes);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut de) else {
        return ApiError::new(ErrorCode::InvalidField, error.to_string());
    };
    let path = error.path().to_string();
    let inner = error.inner().to_string();
    // serde_json appends where it stood; the path already says so.
    let what = inner.split(" at line ").next().unwrap_or(&inner);
    if path == "." {
        return ApiError::new(ErrorCode::InvalidField, what.to_owned()).at("body");
    }
    ApiError::invalid(&path, what)
}

/// A whole number in `range`, or `default` when absent.
///
/// # Errors
/// `INVALID_FIELD` that states the range and the unit.
pub fn in_range(
    field: &str,
    value: Option<u64>,
    range: RangeInclusive<u64>,
    unit: &str,
    default: u64,
) -> Result<u64, ApiError> {
    match value {
        None => Ok(default),
        Some(v) if range.contains(&v) => Ok(v),
        Some(v) => {
            let (low, high) = range.into_inner();
            let what = format!("{v} is outside {low}..={high} {unit}");
            Err(ApiError::invalid(field, what.trim_end()))
        }
    }
}

/// A name within its length limit, without control characters.
///
/// # Errors
/// `INVALID_FIELD`.
pub fn name(field: &'static str, value: &str, max_bytes: usize) -> Result<(), ApiError> {
    if value.is_empty() {
        return Err(ApiError::invalid(field, "must not be empty"));
    }
    if value.len() > max_bytes {
        return Err(ApiError::over(
            field,
            "bytes",
            value.len(),
            max_bytes as u64,
        ));
    }
    if value.chars().any(char::is_control) {
        return Err(ApiError::invalid(
            field,
            "must not contain control characters",
        ));
    }
    Ok(())
}

/// A query string parameter list, percent-decoded, in order.
#[must_use]
pub fn query_pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|pair| {
            let (k, v) = pair.split_once('=').unwrap_or((pair, ""));
            (
                percent_decode(&k.replace('+', " ")),
                percent_decode(&v.replace('+', " ")),
            )
        })
        .collect()
}

/// The last value of a query parameter.
#[must_use]
pub fn query_value(query: &str, name: &str) -> Option<String> {
    query_pairs(query)
        .into_iter()
        .rfind(|(k, _)| k == name)
        .map(|(_, v)| v)
}

/// A whole-number query parameter in `range`.
///
/// # Errors
/// `INVALID_FIELD` naming the parameter.
pub fn query_number(
    query: &str,
    name: &str,
    range: RangeInclusive<u64>,
    unit: &str,
    default: u64,
) -> Result<u64, ApiError> {
    let value = match query_value(query, name) {
        None => None,
        Some(text) => Some(text.parse::<u64>().map_err(|_| {
            let of = if unit.is_empty() { "" } else { " of " };
            let what = format!("expected a whole number{of}{unit}, got {text:?}");
            ApiError::invalid(name, what)
        })?),
    };
    in_range(name, value, range, unit, default)
}

/// `%41` becomes `A`; what is not UTF-8 afterwards is replaced by U+FFFD, a lone `%` stays.
#[must_use]
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        let decoded = (byte == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|hex| core::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match decoded {
            Some(value) => {
                out.push(value);
                rest = &tail[2..];
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[allow(dead_code)]
        size: Option<u64>,
    }
    #[derive(Debug, Deserialize)]
    struct Outer {
        #[allow(dead_code)]
        options: Option<Inner>,
    }

    #[test]
    fn depth_counts_brackets_outside_strings_only() {
        assert!(!depth_exceeds(br#"{"a":"[[[[\"[["}"#, 1));
        assert!(depth_exceeds(b"[[1]]", 1));
        assert!(depth_exceeds(&vec![b'['; 10_000], 64));
    }

    #[test]
    fn a_wrong_type_names_its_path() {
        let error =
            body::<Outer>(br#"{"options":{"size":"abc"}}"#, &Limits::default()).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidField);
        assert_eq!(error.field.as_deref(), Some("options.size"));
        assert_eq!(
            error.message,
            r#"options.size: invalid type: string "abc", expected u64"#
        );
    }

    #[test]
    fn broken_json_is_told_from_wrong_fields() {
        let limits = Limits::default();
        assert_eq!(
            body::<Outer>(b"{", &limits).unwrap_err().code,
            ErrorCode::InvalidJson
        );
        assert_eq!(
            body::<Outer>(b"", &limits).unwrap_err().code,
            ErrorCode::InvalidJson
        );
        assert_eq!(
            body::<Outer>(b"{\"a\":NaN}", &limits).unwrap_err().code,
            ErrorCode::InvalidJson
        );
        assert_eq!(
            body::<Outer>(b"[]", &limits).unwrap_err().code,
            ErrorCode::InvalidField
        );
    }

    #[test]
    fn percent_decoding_keeps_what_is_no_escape() {
        assert_eq!(percent_decode("a%20b%zz%"), "a b%zz%");
        assert_eq!(
            query_value("a=1&b=x+y%21&a=2", "b").as_deref(),
            Some("x y!")
        );
        assert_eq!(query_value("a=1&a=2", "a").as_deref(), Some("2"));
    }
}
