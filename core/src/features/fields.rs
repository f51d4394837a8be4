//! Known fields of an item under their usual names.

use serde_json::{Map, Number, Value};

use super::{FeatureError, Item};

pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A JSON number; whole ones without a point.
pub(super) fn number(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() <= (1u64 << 53) as f64 {
        Value::from(x as i64)
    } else {
        Number::from_f64(x).map_or(Value::Null, Value::Number)
    }
}

/// Sets a feature if it is known.
pub(super) fn set(map: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), value.into());
    }
}

impl<'a> Item<'a> {
    /// The first of these fields that is there and not null, with its name.
    pub(super) fn field(&self, names: &[&'static str]) -> Option<(&'static str, &'a Value)> {
        names.iter().find_map(|name| {
            self.fields
                .get(*name)
                .filter(|value| !value.is_null())
                .map(|value| (*name, value))
        })
    }

    pub(super) fn wrong<T>(&self, name: &str, what: &str, got: &Value) -> Result<T, FeatureError> {
        let path = format!("items[{}].{name}", self.index);
        Err(FeatureError::new(
            path,
            format!("expected {what}, got {}", type_name(got)),
        ))
    }

    /// A number, also one written as text ("13.5", "13.5%").
    pub(super) fn number(&self, names: &[&'static str]) -> Result<Option<f64>, FeatureError> {
        match self.field(names) {
            None => Ok(None),
            Some((_, Value::Number(n))) => Ok(n.as_f64()),
            Some((_, Value::String(s))) if s.trim().is_empty() => Ok(None),
            Some((name, value)) => {
                let text = value
                    .as_str()
                    .unwrap_or_default()
                    .trim()
                    .trim_end_matches('%');
                match text.trim_end().parse::<f64>() {
                    Ok(x) if x.is_finite() => Ok(Some(x)),
                    _ => self.wrong(name, "a number", value),
                }
            }
        }
    }

    /// A text.
    pub(super) fn text(&self, names: &[&'static str]) -> Result<Option<&'a str>, FeatureError> {
        match self.field(names) {
            None => Ok(None),
            Some((_, Value::String(s))) => Ok(Some(s.trim()).filter(|s| !s.is_empty())),
            Some((name, other)) => self.wrong(name, "a string", other),
        }
    }

    /// A list of texts: an array of strings, or one string with commas, brackets and quotes as CSV
    /// exports write them.
    pub(super) fn list(
        &self,
        names: &[&'static str],
    ) -> Result<Option<Vec<&'a str>>, FeatureError> {
        match self.field(names) {
            None => Ok(None),
            Some((_, Value::String(s))) => {
                let trim = |c: char| c.is_whitespace() || matches!(c, '[' | ']' | '\'' | '"');
                Ok(Some(
                    s.split(',')
                        .map(|s| s.trim_matches(trim))
                        .filter(|s| !s.is_empty())
                        .collect(),
                ))
            }
            Some((name, Value::Array(values))) => {
                let text = |value: &'a Value| match value {
                    Value::String(s) => Ok(s.as_str()),
                    // {name: ..} is how ingredients often come.
                    Value::Object(map) => match map.get("name").and_then(Value::as_str) {
                        Some(name) => Ok(name),
                        None => self.wrong(name, "an array of strings", value),
                    },
                    other => self.wrong(name, "an array of strings", other),
                };
                values.iter().map(text).collect::<Result<_, _>>().map(Some)
            }
            Some((name, other)) => self.wrong(name, "an array of strings", other),
        }
    }
}
