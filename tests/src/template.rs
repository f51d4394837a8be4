//! `{{name}}` in paths, bodies and expectations.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Values saved so far, by name.
pub type Saved = BTreeMap<String, Value>;

/// Replaces every `{{name}}`: a string by its text, any other value by its JSON.
///
/// # Errors
/// When nothing was saved under a name.
pub fn fill_text(text: &str, saved: &Saved) -> anyhow::Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let Some(length) = rest[start + 2..].find("}}") else {
            break;
        };
        let name = &rest[start + 2..start + 2 + length];
        out.push_str(&rest[..start]);
        match find(name, saved)? {
            Value::String(text) => out.push_str(text),
            other => out.push_str(&other.to_string()),
        }
        rest = &rest[start + length + 4..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The same in every string of a value; a string that is nothing but `{{name}}` becomes the saved
/// value itself, of whatever type.
///
/// # Errors
/// When nothing was saved under a name.
pub fn fill(value: &Value, saved: &Saved) -> anyhow::Result<Value> {
    Ok(match value {
        Value::String(text) => {
            let whole = text.strip_prefix("{{").and_then(|t| t.strip_suffix("}}"));
            match whole.filter(|name| !name.contains('{')) {
                Some(name) => find(name, saved)?.clone(),
                None => Value::String(fill_text(text, saved)?),
            }
        }
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| fill(item, saved))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| Ok((fill_text(key, saved)?, fill(value, saved)?)))
                .collect::<anyhow::Result<_>>()?,
        ),
        plain => plain.clone(),
    })
}

fn find<'s>(name: &str, saved: &'s Saved) -> anyhow::Result<&'s Value> {
    saved
        .get(name)
        .with_context(|| format!("nothing was saved as {name:?}"))
}

/// The value at a dotted path such as `data.items.0.id`.
///
/// # Errors
/// When there is none.
pub fn at_path<'v>(value: &'v Value, path: &str) -> anyhow::Result<&'v Value> {
    let mut here = value;
    for part in path.split('.') {
        let next = match here {
            Value::Object(map) => map.get(part),
            Value::Array(items) => part.parse().ok().and_then(|i: usize| items.get(i)),
            _ => None,
        };
        match next {
            Some(next) => here = next,
            None => bail!("the answer has no {path}: {value}"),
        }
    }
    Ok(here)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_whole_placeholder_keeps_the_type_of_what_was_saved() {
        let saved = Saved::from([("n".into(), json!([1])), ("id".into(), json!("a"))]);
        let filled = fill(&json!({"x": "{{n}}", "y": ["/{{id}}/{{n}}"]}), &saved).unwrap();
        assert_eq!(filled, json!({"x": [1], "y": ["/a/[1]"]}));
        assert!(fill_text("{{other}}", &saved).is_err());
        assert_eq!(fill_text("{{ open", &saved).unwrap(), "{{ open");
    }

    #[test]
    fn paths_go_through_arrays() {
        let value = json!({"a": [{"b": 1}]});
        assert_eq!(at_path(&value, "a.0.b").unwrap(), 1);
        assert!(at_path(&value, "a.1.b").is_err());
    }
}
