use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    control::{Control, Stopped, Unstoppable},
    limits::Limits,
};

fn run(records: Value, operations: Value) -> Result<Value, OperationError> {
    let operations = parse(&operations, &Limits::default())?;
    let Value::Array(items) = records else {
        panic!("records are an array")
    };
    let records = apply(records_of(items)?, &operations, &Unstoppable)?;
    Ok(Value::Array(
        records.into_iter().map(Value::Object).collect(),
    ))
}

fn message(records: Value, operations: Value) -> String {
    run(records, operations).expect_err("an error").to_string()
}

fn mark_line(line: &str) -> Result<String, OperationError> {
    let mut out = Vec::new();
    let mut pipeline = Processor::MarkProcessed
        .row_wise(&Limits::default())
        .expect("row-wise");
    pipeline.apply_line(line.as_bytes(), &mut out)?;
    Ok(String::from_utf8(out).expect("UTF-8"))
}

#[test]
fn filters_by_equality_and_by_operators() {
    let wines = json!([
        {"id": 1, "type": "Red", "price": 20}, {"id": 2, "type": "White", "price": 35.5},
        {"id": 3, "type": "Red", "price": null}, {"id": 4, "price": "20"},
    ]);
    let ids = |criteria: Value| {
        let kept = run(
            wines.clone(),
            json!([{"type": "filter", "criteria": criteria}]),
        )
        .unwrap();
        kept.as_array()
            .unwrap()
            .iter()
            .map(|r| r["id"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(json!({"type": "Red"})), [1, 3]);
    assert_eq!(ids(json!({"price": 20.0})), [1]);
    assert_eq!(ids(json!({"price": null})), [3]);
    assert_eq!(ids(json!({"type": null})), [0i64; 0]);
    assert_eq!(ids(json!({"price": {"gt": 19, "lte": 35.5}})), [1, 2]);
    assert_eq!(ids(json!({"price": {"gte": "1"}})), [4]);
    assert_eq!(ids(json!({"type": {"ne": "Red"}})), [2, 4]);
    assert_eq!(
        ids(json!({"id": {"in": [4, 1]}, "price": {"ne": null}})),
        [1, 4]
    );
}

#[test]
fn transforms_numbers_and_names_what_is_none() {
    let out = run(
        json!([{"a": 2, "b": 3, "c": 0, "d": 16, "e": 5, "z": "keep"}, {"a": null, "b": 0.5}]),
        json!([{"type": "transform", "transform": {
            "a": {"type": "multiply", "value": 1.5}, "b": {"type": "add", "value": -1},
            "c": {"type": "log"}, "d": {"type": "sqrt"},
            "e": {"type": "normalize", "min": 0, "max": 10}}}]),
    );
    assert_eq!(
        out.unwrap(),
        json!([{"a": 3, "b": 2, "c": 0, "d": 4, "e": 0.5, "z": "keep"}, {"a": null, "b": -0.5}])
    );
    let add = json!([{"type": "transform", "transform": {"a": {"type": "add", "value": 1}}}]);
    assert_eq!(
        message(json!([{"a": 1}, {"a": "x"}]), add),
        "record 1, field \"a\": expected a number, got a string"
    );
    let root = json!([{"type": "filter", "criteria": {"k": 1}},
        {"type": "transform", "transform": {"a": {"type": "sqrt"}}}]);
    assert_eq!(
        message(json!([{"k": 0}, {"k": 0}, {"k": 1, "a": -4}]), root),
        "record 2, field \"a\": sqrt of -4 is not a finite number",
        "the index is the input's, not the filter's"
    );
}

#[test]
fn aggregates_in_order_of_first_appearance() {
    let out = run(
        json!([
            {"t": "R", "y": 1, "p": 10}, {"t": "W", "y": 1, "p": 7}, {"t": "R", "y": 1.0, "p": 30},
            {"t": "R", "y": "1", "p": 5}, {"t": "R", "y": 1, "p": null}, {"p": 1},
        ]),
        json!([{"type": "aggregate", "groupBy": ["t", "y"],
            "aggregations": {"p": "avg", "n": "count"}}]),
    );
    assert_eq!(
        out.unwrap(),
        json!([
            {"t": "R", "y": 1, "p": 20, "n": 3}, {"t": "W", "y": 1, "p": 7, "n": 1},
            {"t": "R", "y": "1", "p": 5, "n": 1}, {"t": null, "y": null, "p": 1, "n": 1},
        ])
    );
    let all = |name: &str, values: Value| {
        let records: Vec<Value> = values
            .as_array()
            .unwrap()
            .iter()
            .map(|v| json!({"v": v}))
            .collect();
        let ops = json!([{"type": "aggregate", "groupBy": [], "aggregations": {"v": name}}]);
        run(Value::Array(records), ops).unwrap()[0]["v"].clone()
    };
    assert_eq!(all("median", json!([4, 1, 3, 2])), json!(2.5));
    assert_eq!(all("median", json!([9, 1, 5])), json!(5));
    assert_eq!(all("min", json!([3, -1, null])), json!(-1));
    assert_eq!(all("max", json!([-3, -1])), json!(-1));
    assert_eq!(all("sum", json!([1e16, 1, -1e16])), json!(1));
    assert_eq!(all("sum", json!([null])), json!(0));
    assert_eq!(all("avg", json!([null])), json!(null));
}

#[test]
fn sorts_mixed_types_and_keeps_missing_last() {
    let records = json!([
        {"i": 0, "k": "b"}, {"i": 1}, {"i": 2, "k": 2}, {"i": 3, "k": "a"}, {"i": 4, "k": true},
        {"i": 5, "k": -1.5}, {"i": 6, "k": null}, {"i": 7, "k": 2}, {"i": 8, "k": [0]},
    ]);
    let order = |order: &str| {
        let ops = json!([{"type": "sort", "sortBy": "k", "order": order}]);
        let out = run(records.clone(), ops).unwrap();
        out.as_array()
            .unwrap()
            .iter()
            .map(|r| r["i"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(order("asc"), [4, 5, 2, 7, 3, 0, 8, 1, 6]);
    assert_eq!(order("desc"), [8, 0, 3, 2, 7, 5, 4, 1, 6]);
}

#[test]
fn sort_over_many_blocks_equals_the_library_sort() {
    let mut rng = crate::rng::Rng::new(7);
    let records: Vec<Value> = (0..20_000)
        .map(|i| json!({"i": i, "k": rng.below(500)}))
        .collect();
    let mut expected = records.clone();
    expected.sort_by_key(|r| std::cmp::Reverse(r["k"].as_u64()));
    let ops = json!([{"type": "sort", "sortBy": "k", "order": "desc"}]);
    assert_eq!(
        run(Value::Array(records), ops).unwrap(),
        Value::Array(expected)
    );
}

#[test]
fn normalizes_over_the_whole_set() {
    let out = run(
        json!([{"a": 10, "b": 5}, {"a": 20, "b": 5}, {"a": 15, "b": "x"}, {}]),
        json!([{"type": "normalize", "fields": ["a", "b", "none"]}]),
    );
    assert_eq!(
        out.unwrap(),
        json!([{"a": 0, "b": 5}, {"a": 1, "b": 5}, {"a": 0.5, "b": "x"}, {}])
    );
}

#[test]
fn a_wrong_request_is_told_by_its_path() {
    let told = |operations: Value| message(json!([]), operations);
    assert_eq!(told(json!({})), "operations: expected an array, got {}");
    assert_eq!(
        told(json!([{"type": "sort", "sortBy": "a", "order": "up"}])),
        "operations[0].order: expected \"asc\" or \"desc\", got \"up\""
    );
    assert_eq!(
        told(json!([{"type": "sort", "sortBy": "a"}, {"type": "map"}])),
        "operations[1].type: expected filter, transform, aggregate, sort or normalize, got \"map\""
    );
    assert_eq!(
        told(json!([{"type": "transform", "transform": {"p": {"type": "add", "value": "1"}}}])),
        "operations[0].transform.p.value: expected a number, got \"1\""
    );
    assert_eq!(
        told(json!([{"type": "aggregate", "groupBy": ["a", 1], "aggregations": {}}])),
        "operations[0].groupBy[1]: expected a field name, got 1"
    );
    assert!(
        told(json!([{"type": "filter", "criteria": {"p": {"gtt": 1}}}]))
            .starts_with("operations[0].criteria.p.gtt: unknown operator")
    );
    assert_eq!(
        message(json!([{}, 3]), json!([])),
        "record 1: expected an object, got a number"
    );
    let many = Value::Array(vec![json!({"type": "sort", "sortBy": "a"}); 101]);
    assert_eq!(told(many), "operations: at most 100 operations, got 101");
}

struct After(std::sync::atomic::AtomicU64);

impl Control for After {
    fn checkpoint(&self, done: u64, total: u64) -> Result<(), Stopped> {
        assert!(done <= total, "{done} of {total}");
        match self.0.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)) {
            Ok(_) => Ok(()),
            Err(_) => Err(Stopped::Cancelled),
        }
    }
}

#[test]
fn every_operation_can_be_stopped() {
    let items: Vec<Value> = (0..10_000).map(|i| json!({"a": 10_000 - i})).collect();
    for operation in [
        json!({"type": "filter", "criteria": {"a": {"gt": 0}}}),
        json!({"type": "transform", "transform": {"a": {"type": "log"}}}),
        json!({"type": "aggregate", "groupBy": ["a"], "aggregations": {"a": "sum"}}),
        json!({"type": "sort", "sortBy": "a"}),
        json!({"type": "normalize", "fields": ["a"]}),
    ] {
        let operations = parse(&json!([operation]), &Limits::default()).unwrap();
        for questions in [0, 2] {
            let records = records_of(items.clone()).unwrap();
            let stopped = apply(records, &operations, &After(questions.into()));
            assert_eq!(
                stopped,
                Err(OperationError::Stopped(Stopped::Cancelled)),
                "{operations:?}"
            );
        }
    }
}

#[test]
fn marks_as_a_spread_would() {
    for (line, marked) in [
        (
            r#"{"id":1,"value":"data1"}"#,
            r#"{"id":1,"value":"data1","processed":true}"#,
        ),
        ("{}", r#"{"processed":true}"#),
        (" { } ", r#"{ "processed":true}"#),
        (
            r#"{"processed":false,"a":1}"#,
            r#"{"processed":true,"a":1}"#,
        ),
        (
            r#"{"a":1 , "processed" : {"x":[1]} }"#,
            r#"{"a":1 , "processed" : true }"#,
        ),
        (
            r#"{"processed":1,"a":2,"processed":3,"b":4}"#,
            r#"{"processed":true,"a":2,"b":4}"#,
        ),
        (
            r#"{"\u0070rocessed":1,"processed":2}"#,
            r#"{"\u0070rocessed":true}"#,
        ),
        (
            r#"{"a":{"processed":1}}"#,
            r#"{"a":{"processed":1},"processed":true}"#,
        ),
        ("7", r#"{"value":7,"processed":true}"#),
        (r#""ab""#, r#"{"value":"ab","processed":true}"#),
        ("[1]", r#"{"value":[1],"processed":true}"#),
        ("{\n \"a\":\r\n1\n}\n", r#"{ "a":1,"processed":true}"#),
        ("", ""),
        (" \t", ""),
    ] {
        assert_eq!(mark_line(line).as_deref(), Ok(marked), "{line}");
    }
    let error = mark_line(r#"{"a":01}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "record 0: not a JSON value: a number begins with 0 at byte 6"
    );
    let deep = "[".repeat(65) + &"]".repeat(65);
    assert!(
        mark_line(&deep)
            .unwrap_err()
            .to_string()
            .contains("nested too deeply")
    );
    let level = "[".repeat(64) + &"]".repeat(64);
    assert!(mark_line(&level).is_ok());
}

#[test]
fn lines_in_blocks_equal_lines_one_by_one() {
    let block = b"{\"a\":1}\n\n{\"a\":2}\r\n{\"a\":3}";
    let limits = Limits::default();
    let operations = json!([{"type": "filter", "criteria": {"a": {"ne": 2}}},
        {"type": "transform", "transform": {"a": {"type": "multiply", "value": 2}}}]);
    let only_filter = json!([operations[0]]);
    for (processor, expected) in [
        (Processor::Identity, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n"),
        (
            Processor::MarkProcessed,
            "{\"a\":1,\"processed\":true}\n{\"a\":2,\"processed\":true}\n\
             {\"a\":3,\"processed\":true}\n",
        ),
        (
            Processor::DataProcessing(parse(&operations, &limits).unwrap()),
            "{\"a\":2}\n{\"a\":6}\n",
        ),
        (
            Processor::DataProcessing(parse(&only_filter, &limits).unwrap()),
            "{\"a\":1}\n{\"a\":3}\n",
        ),
    ] {
        let mut pipeline = processor.row_wise(&limits).unwrap().starting_at(10);
        let mut out = Vec::new();
        pipeline.apply_lines(block, &mut out, &Unstoppable).unwrap();
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
        assert_eq!(pipeline.records(), 13);
        let error = pipeline.apply_lines(b"{\"a\":1}\n{\"a\xff\":1}", &mut out, &Unstoppable);
        assert!(
            error
                .unwrap_err()
                .to_string()
                .starts_with("record 14: not a JSON value")
        );
    }
    let whole = Processor::named(
        "data_processing",
        Some(&json!([{"type": "sort", "sortBy": "a"}])),
        &limits,
    );
    assert!(whole.unwrap().unwrap().row_wise(&limits).is_none());
}

/// Any JSON value; keys from a small set so that they repeat.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[a\\\\\"\n\u{1}żé\u{1F377}]{0,9}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        let key = prop_oneof![
            Just("processed".to_owned()),
            Just("a".to_owned()),
            "\\PC{0,9}"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_scanner_accepts_what_serde_accepts(value in any_json(), pretty: bool) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&value),
            false => serde_json::to_string(&value),
        };
        let text = text.unwrap();
        let marked = mark_line(&text).unwrap();
        prop_assert!(!marked.contains('\n'));
        let twin = Processor::MarkProcessed.apply_items(vec![value], &Unstoppable).unwrap();
        let got: Value = serde_json::from_str(&marked).unwrap();
        prop_assert_eq!(got.to_string(), twin[0].to_string(), "the order of members included");
    }

    #[test]
    fn the_scanner_refuses_what_serde_refuses(
        value in any_json(), at in any::<prop::sample::Index>(), byte: u8, cut: bool,
    ) {
        let mut text = serde_json::to_vec(&value).unwrap();
        let at = at.index(text.len());
        if cut { text.truncate(at); } else { text[at] = byte; }
        let mut out = Vec::new();
        let mut pipeline = Processor::Identity.row_wise(&Limits::default()).unwrap();
        let ours = pipeline.apply_line(&text, &mut out);
        let blank = text.iter().all(u8::is_ascii_whitespace);
        match serde_json::from_slice::<Value>(&text) {
            Ok(_) => prop_assert!(ours.is_ok(), "{:?}", String::from_utf8_lossy(&text)),
            Err(e) if e.to_string().contains("out of range") || e.to_string().contains("surrogate")
                || e.to_string().contains("hex escape") => {}
            Err(e) => {
                let text = String::from_utf8_lossy(&text);
                prop_assert!(blank || ours.is_err(), "{e}: {text:?}");
            }
        }
    }

    #[test]
    fn lines_in_one_pass_equal_lines_one_by_one(
        values in prop::collection::vec((any_json(), "[ \t\r\n]{0,2}", "[ \t\r,x]{0,1}", 0..9u8), 0..6),
        mark: bool,
    ) {
        let mut text = String::new();
        for (value, before, behind, pretty) in &values {
            let value = match pretty {
                0 => serde_json::to_string_pretty(value),
                _ => serde_json::to_string(value),
            };
            text += &format!("{before}{}{behind}\n", value.unwrap());
        }
        let processor = if mark { Processor::MarkProcessed } else { Processor::Identity };
        let mut whole = processor.row_wise(&Limits::default()).unwrap();
        let mut single = whole.clone();
        let (mut got, mut wanted) = (Vec::new(), Vec::new());
        let outcome = whole.apply_lines(text.as_bytes(), &mut got, &Unstoppable);
        let expected = text.split('\n').try_for_each(|line| {
            if single.apply_line(line.as_bytes(), &mut wanted)? {
                wanted.push(b'\n');
            }
            Ok::<_, OperationError>(())
        });
        prop_assert_eq!(outcome.map_err(|e| e.to_string()), expected.map_err(|e| e.to_string()));
        prop_assert_eq!(String::from_utf8(got).unwrap(), String::from_utf8(wanted).unwrap());
        prop_assert_eq!(whole.records(), single.records());
    }
}
