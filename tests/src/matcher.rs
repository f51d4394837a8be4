//! Compares an answer with an expectation that may hold matchers: objects whose first key begins
//! with `$`.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Differences that are told of one answer.
const DIFFERENCES_MAX: usize = 20;

/// What differs, one line each, with the path; empty when the answer is as expected.
#[must_use]
pub fn differences(expected: &Value, got: &Value) -> Vec<String> {
    let mut out = Vec::new();
    compare("$", expected, got, &mut out);
    out.truncate(DIFFERENCES_MAX);
    out
}

/// A value for a message, cut where it is long.
#[must_use]
pub fn show(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 300 {
        return text;
    }
    let head: String = text.chars().take(280).collect();
    format!("{head}... ({} bytes)", text.len())
}

fn compare(path: &str, expected: &Value, got: &Value, out: &mut Vec<String>) {
    if out.len() >= DIFFERENCES_MAX {
        return;
    }
    match (expected, got) {
        (Value::Object(map), _) if map.keys().next().is_some_and(|k| k.starts_with('$')) => {
            matcher(path, map, got, out);
        }
        (Value::Object(expected), Value::Object(got)) => {
            members(path, expected, got, out);
            for name in got.keys().filter(|name| !expected.contains_key(*name)) {
                out.push(format!(
                    "{path}.{name}: not expected, got {}",
                    show(&got[name])
                ));
            }
        }
        (Value::Array(expected), Value::Array(got)) => {
            if expected.len() != got.len() {
                let (want, have) = (expected.len(), got.len());
                out.push(format!(
                    "{path}: expected {want} items, got {have}: {}",
                    show(&Value::Array(got.clone()))
                ));
                return;
            }
            for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
                compare(&format!("{path}[{index}]"), expected, got, out);
            }
        }
        (expected, got) if same(expected, got) => {}
        (expected, got) => {
            out.push(format!(
                "{path}: expected {}, got {}",
                show(expected),
                show(got)
            ));
        }
    }
}

/// Numbers are JSON's: 1 and 1.0 are the same.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        _ => a == b,
    }
}

fn members(
    path: &str,
    expected: &Map<String, Value>,
    got: &Map<String, Value>,
    out: &mut Vec<String>,
) {
    for (name, expected) in expected {
        match got.get(name) {
            Some(got) => compare(&format!("{path}.{name}"), expected, got, out),
            None => out.push(format!(
                "{path}.{name}: expected {}, got nothing",
                show(expected)
            )),
        }
    }
}

/// All matchers of one object must hold.
fn matcher(path: &str, map: &Map<String, Value>, got: &Value, out: &mut Vec<String>) {
    for (name, argument) in map {
        let before = out.len();
        let fits = match name.as_str() {
            "$any" => true,
            "$type" => has_type(argument, got),
            "$approx" => approximately(argument, map.get("tolerance"), got),
            "tolerance" => true,
            "$match" => text_of(argument, got).is_some_and(|(want, got)| got.starts_with(want)),
            "$contains" => text_of(argument, got).is_some_and(|(want, got)| got.contains(want)),
            "$length" => length(got).is_some_and(|n| argument.as_u64() == Some(n as u64)),
            "$range" => within(argument, got),
            "$partial" => partial(path, argument, got, out),
            "$each" => each(path, argument, got, out),
            "$unordered" => unordered(argument, got),
            other => {
                out.push(format!("{path}: the vector has an unknown matcher {other}"));
                return;
            }
        };
        if !fits && out.len() == before {
            let mut line = format!("{path}: expected {name} {}", show(argument));
            // Writing to a String cannot fail.
            let _ = write!(line, ", got {}", show(got));
            out.push(line);
        }
    }
}

fn text_of<'v>(argument: &'v Value, got: &'v Value) -> Option<(&'v str, &'v str)> {
    argument.as_str().zip(got.as_str())
}

/// One of the types of `number|null`.
fn has_type(argument: &Value, got: &Value) -> bool {
    let name = match got {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let whole = got.as_u64().is_some() || got.as_i64().is_some();
    argument.as_str().is_some_and(|types| {
        types
            .split('|')
            .any(|t| t == name || (t == "integer" && whole))
    })
}

fn approximately(argument: &Value, tolerance: Option<&Value>, got: &Value) -> bool {
    let tolerance = tolerance.and_then(Value::as_f64).unwrap_or(1e-9);
    let pair = argument.as_f64().zip(got.as_f64());
    pair.is_some_and(|(want, got)| (want - got).abs() <= tolerance)
}

fn length(got: &Value) -> Option<usize> {
    match got {
        Value::Array(items) => Some(items.len()),
        Value::String(text) => Some(text.chars().count()),
        Value::Object(map) => Some(map.len()),
        _ => None,
    }
}

fn within(argument: &Value, got: &Value) -> bool {
    let bound = |i: usize| argument.get(i).and_then(Value::as_f64);
    let (Some(low), Some(high), Some(got)) = (bound(0), bound(1), got.as_f64()) else {
        return false;
    };
    (low..=high).contains(&got)
}

/// An object that has at least these members; nested plain objects are subsets too.
fn partial(path: &str, argument: &Value, got: &Value, out: &mut Vec<String>) -> bool {
    let (Value::Object(expected), Value::Object(have)) = (argument, got) else {
        return false;
    };
    for (name, expected) in expected {
        let path = format!("{path}.{name}");
        match (expected, have.get(name)) {
            (expected, None) => {
                out.push(format!("{path}: expected {}, got nothing", show(expected)));
            }
            (Value::Object(inner), Some(got))
                if !inner.keys().next().is_some_and(|k| k.starts_with('$')) =>
            {
                if !partial(&path, expected, got, out) && !got.is_object() {
                    out.push(format!(
                        "{path}: expected {}, got {}",
                        show(expected),
                        show(got)
                    ));
                }
            }
            (expected, Some(got)) => compare(&path, expected, got, out),
        }
    }
    true
}

fn each(path: &str, argument: &Value, got: &Value, out: &mut Vec<String>) -> bool {
    let Value::Array(items) = got else {
        return false;
    };
    for (index, item) in items.iter().enumerate() {
        compare(&format!("{path}[{index}]"), argument, item, out);
    }
    true
}

/// The same items in any order.
fn unordered(argument: &Value, got: &Value) -> bool {
    let (Value::Array(expected), Value::Array(got)) = (argument, got) else {
        return false;
    };
    let mut rest: Vec<&Value> = got.iter().collect();
    expected.iter().all(|want| {
        let found = rest
            .iter()
            .position(|have| differences(want, have).is_empty());
        found.map(|index| rest.swap_remove(index)).is_some()
    }) && rest.is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fits(expected: &Value, got: &Value) -> bool {
        differences(expected, got).is_empty()
    }

    #[test]
    fn plain_values_are_exact_and_numbers_are_json_numbers() {
        assert!(fits(&json!({"a": [1, 2.0]}), &json!({"a": [1.0, 2]})));
        assert_eq!(
            differences(&json!({"a": 1}), &json!({"a": 2, "b": 3})),
            ["$.a: expected 1, got 2", "$.b: not expected, got 3",]
        );
        assert_eq!(
            differences(&json!([1]), &json!([1, 2])),
            ["$: expected 1 items, got 2: [1,2]"]
        );
        assert_eq!(
            differences(&json!({"a": null}), &json!({})),
            ["$.a: expected null, got nothing"]
        );
    }

    #[test]
    fn a_subset_goes_down_into_plain_objects() {
        let expected = json!({"$partial": {"data": {"b": {"$type": "number"}}}});
        assert!(fits(&expected, &json!({"ok": 1, "data": {"b": 1, "c": 2}})));
        assert_eq!(
            differences(&expected, &json!({"data": {"b": "x"}})),
            ["$.data.b: expected $type \"number\", got \"x\""]
        );
        assert!(!fits(&expected, &json!({"data": {}})));
        assert!(!fits(&expected, &json!({"data": 1})));
        assert!(!fits(&expected, &json!([])));
    }

    #[test]
    fn matchers_refuse_what_does_not_fit() {
        for (expected, good, bad) in [
            (json!({"$type": "number|null"}), json!(null), json!("1")),
            (json!({"$type": "integer"}), json!(3), json!(3.5)),
            (
                json!({"$approx": 0.5, "tolerance": 0.01}),
                json!(0.505),
                json!(0.52),
            ),
            (json!({"$approx": 0.5}), json!(0.5), json!(0.5001)),
            (json!({"$match": "job_"}), json!("job_1"), json!("a job_1")),
            (json!({"$contains": "b"}), json!("abc"), json!("ac")),
            (json!({"$length": 2}), json!([1, 2]), json!("a")),
            (json!({"$range": [1, 5]}), json!(5), json!(5.1)),
            (
                json!({"$each": {"$type": "number"}}),
                json!([1, 2]),
                json!([1, "x"]),
            ),
            (json!({"$unordered": [1, 2]}), json!([2, 1]), json!([2, 2])),
            (json!({"$unordered": [1]}), json!([1]), json!([1, 2])),
        ] {
            assert!(fits(&expected, &good), "{expected} {good}");
            assert!(!fits(&expected, &bad), "{expected} {bad}");
        }
        assert!(fits(&json!({"$any": true}), &json!([1])));
        assert!(!fits(&json!({"$sometimes": true}), &json!(1)));
    }
}
