use serde_json::Value;

use super::{alert_history, report, rules, trends};
use crate::{
    limits::Limits,
    metrics::{Monitor, MonitorConfig},
    time::Timestamp,
    wire::{ApiError, ErrorCode, envelope},
};

const NOW: Timestamp = Timestamp(1_642_248_600_000);

fn monitor() -> Monitor {
    Monitor::new(NOW, MonitorConfig::default()).unwrap()
}

fn data(answer: Result<Vec<u8>, ApiError>) -> Value {
    let mut body: Value = serde_json::from_slice(&answer.unwrap()).unwrap();
    assert_eq!(body["success"], true);
    body["data"].take()
}

/// The example of SommOS's documentation, field by field, with the kinds that each may have.
const SUMMARY: &[(&str, &[&str])] = &[
    ("/timestamp", &["integer"]),
    ("/system/cpu", &["number", "null"]),
    ("/system/memory", &["integer", "null"]),
    ("/system/uptime", &["integer", "null"]),
    ("/application/requests", &["integer"]),
    ("/application/responses", &["integer"]),
    ("/application/errors", &["integer"]),
    ("/application/errorRate", &["number"]),
    ("/application/responseTime", &["number", "null"]),
    ("/application/throughput", &["number"]),
    ("/database/queries", &["integer"]),
    ("/database/queryTime", &["number"]),
    ("/cache/hits", &["integer"]),
    ("/cache/misses", &["integer"]),
    ("/cache/hitRate", &["number"]),
    ("/ml/predictions", &["integer"]),
    ("/ml/accuracy", &["number", "null"]),
    ("/alerts", &["integer"]),
];

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Number(n) if n.is_u64() => "integer",
        Value::Number(_) => "number",
        _ => "other",
    }
}

#[test]
fn the_summary_has_the_fields_of_sommos() {
    let monitor = monitor();
    let records = br#"{"metrics": [
        {"kind": "request", "method": "get", "route": "/api/wines", "status": 200, "duration": 125},
        {"kind": "request", "method": "GET", "route": "/api/wines", "status": 500, "duration": 125},
        {"kind": "dbQuery", "duration": 45},
        {"kind": "mlPrediction", "name": "m", "duration": 3, "accuracy": 87.5},
        {"kind": "cacheOperation", "hit": true}
    ]}"#;
    for filled in [false, true] {
        if filled {
            report(&monitor, NOW, records, &Limits::default()).unwrap();
        }
        let summary = data(envelope::data(&monitor.summary(NOW)));
        for (path, kinds) in SUMMARY {
            let value = summary.pointer(path).unwrap_or_else(|| panic!("{path}"));
            let fits = kinds.contains(&kind(value))
                || (kinds.contains(&"number") && kind(value) == "integer");
            assert!(fits, "{path}: {value}");
        }
    }
    let summary = data(envelope::data(&monitor.summary(NOW)));
    let at = |path| summary.pointer(path).and_then(Value::as_f64);
    // Rates and accuracy are percent there.
    assert_eq!(at("/application/errorRate"), Some(50.0));
    assert_eq!(at("/application/responseTime"), Some(125.0));
    assert_eq!(at("/database/queryTime"), Some(45.0));
    assert_eq!(
        (at("/ml/accuracy"), at("/cache/hitRate")),
        (Some(87.5), Some(100.0))
    );
}

#[test]
fn wrong_requests_are_refused_by_field_and_nothing_is_counted() {
    let monitor = monitor();
    let right = r#""method": "GET", "route": "/a", "status": 200, "duration": 1"#;
    let cases = [
        (r#""route": "/a", "status": 200, "duration": 1"#, "method"),
        (
            r#""method": "G T", "route": "/a", "status": 200, "duration": 1"#,
            "method",
        ),
        (
            r#""method": "", "route": "/a", "status": 200, "duration": 1"#,
            "method",
        ),
        (r#""method": "GET", "status": 200, "duration": 1"#, "route"),
        (
            r#""method": "GET", "route": "", "status": 200, "duration": 1"#,
            "route",
        ),
        (
            r#""method": "GET", "route": "/a?b=1", "status": 200, "duration": 1"#,
            "route",
        ),
        (r#""method": "GET", "route": "/a", "duration": 1"#, "status"),
        (
            r#""method": "GET", "route": "/a", "status": 99, "duration": 1"#,
            "status",
        ),
        (
            r#""method": "GET", "route": "/a", "status": 70000, "duration": 1"#,
            "status",
        ),
        (
            r#""method": "GET", "route": "/a", "status": 200"#,
            "duration",
        ),
        (
            r#""method": "GET", "route": "/a", "status": 200, "duration": -1"#,
            "duration",
        ),
    ];
    for (entry, field) in cases {
        let body = format!(
            r#"{{"metrics": [{{"kind": "request", {right}}}, {{"kind": "request", {entry}}}]}}"#
        );
        let error = report(&monitor, NOW, body.as_bytes(), &Limits::default()).unwrap_err();
        assert_eq!(
            error.field.as_deref(),
            Some(&*format!("metrics[1].{field}")),
            "{entry}"
        );
        assert_eq!(error.code, ErrorCode::InvalidField);
    }
    assert_eq!(monitor.summary(NOW).application.responses, 0);
    let body = format!(r#"{{"metrics": [{{"kind": "request", {right}, "bytes": 7}}]}}"#);
    report(&monitor, NOW, body.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(monitor.endpoints()[0].bytes_out, 7);
}

#[test]
fn rules_history_and_trends_have_the_fields_agreed() {
    let monitor = monitor();
    let rules = data(rules(&monitor));
    let rules = rules["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 6);
    for rule in rules {
        let mut names: Vec<_> = rule
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut expected = [
            "type",
            "metric",
            "unit",
            "threshold",
            "clear",
            "forMs",
            "keepMs",
            "minSamples",
            "severity",
            "status",
            "value",
        ];
        expected.sort_unstable();
        names.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(rule["status"], "ok");
    }
    let history = data(alert_history(&monitor, "limit=5"));
    assert_eq!(history, serde_json::json!({"alerts": [], "total": 0}));
    for query in ["limit=0", "limit=257", "limit=x"] {
        let error = alert_history(&monitor, query).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("limit"));
    }
    let trends_of = data(trends(&monitor, NOW, "category=system"));
    assert_eq!(trends_of["window"], 3_600_000);
    let field = trends_of["fields"]["diskUsed"].as_object().unwrap();
    let mut expected = [
        "unit",
        "samples",
        "mean",
        "slopePerHour",
        "direction",
        "change",
        "changePercent",
        "threshold",
        "timeToThreshold",
        "outliers",
    ];
    expected.sort_unstable();
    let mut names: Vec<_> = field.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, expected);
    for (query, field) in [
        ("", "category"),
        ("category=wine", "category"),
        ("category=ml&window=1", "window"),
        ("category=ml&window=86400001", "window"),
    ] {
        let error = trends(&monitor, NOW, query).unwrap_err();
        assert_eq!(error.field.as_deref(), Some(field), "{query}");
    }
}
