//! What others are told of requests: their id, the line in the log, metrics for a collector.

// A test may unwrap: a panic there is the report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::Value;
use support::{Folder, Reaction, Receiver, Server, until};

const GET: &str = "/api/performance/cache/get/some-secret-key";

fn id(head: &str) -> &str {
    let line = head.lines().find_map(|l| l.strip_prefix("x-request-id: "));
    line.unwrap_or_else(|| panic!("no id in {head}"))
}

#[test]
fn a_request_has_an_id_and_a_line() {
    let folder = Folder::new("log");
    let flags = ["--log", "sommos_server=debug", "--log-format", "json"];
    let server = Server::start(folder.path(), &flags);
    let set = r#"{"key":"some-secret-key","value":1}"#;
    let (status, ..) = server.ask("POST", "/api/performance/cache/set", "", set);
    assert_eq!(status, 200);
    let (_, head, body) = server.ask("GET", GET, "x-request-id: gw-1:2.3_A\r\n", "");
    assert_eq!(id(&head), "gw-1:2.3_A");
    let line: Value = until("the line", || {
        let log = server.log();
        let line = log.lines().find(|line| line.contains("gw-1:2.3_A"))?;
        serde_json::from_str(line).ok()
    });
    assert_eq!(line["level"], "DEBUG");
    let fields = &line["fields"];
    assert_eq!(fields["message"], "request");
    assert_eq!(fields["method"], "GET");
    assert_eq!(fields["route"], "/api/performance/cache/get/{key}");
    assert_eq!(fields["status"], 200);
    assert_eq!(fields["bytes"], body.len());
    assert!(fields["duration_ms"].as_f64().unwrap() > 0.0, "{fields}");
    assert!(
        !server.log().contains("some-secret-key"),
        "{}",
        server.log()
    );
}

#[test]
fn an_id_that_is_not_well_formed_is_replaced() {
    let folder = Folder::new("ids");
    let server = Server::start(folder.path(), &[]);
    let long = format!("x-request-id: {}\r\n", "x".repeat(129));
    let mut ids = Vec::new();
    for header in [
        "",
        "x-request-id: \r\n",
        "x-request-id: a b\r\n",
        "x-request-id: a\"b\r\n",
        &long,
    ] {
        let (_, head, _) = server.ask("GET", "/nowhere", header, "");
        let id = id(&head).to_owned();
        let plain = |c: char| c.is_ascii_hexdigit() || c == '-';
        assert!(id.len() > 17 && id.chars().all(plain), "{id}");
        ids.push(id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    // Debug lines are not written unless they are asked for.
    assert!(!server.log().contains("request"), "{}", server.log());
}

#[test]
fn bodies_are_counted_by_route() {
    let folder = Folder::new("bytes");
    let server = Server::start(folder.path(), &[]);
    let set = r#"{"key":"a","value":1}"#;
    server.ask("POST", "/api/performance/cache/set", "", set);
    let line = "http_server_request_body_bytes_total{http_request_method=\"POST\",\
                http_route=\"/api/performance/cache/set\"}";
    assert_eq!(server.metric(line), Some(set.len() as f64));
}

#[test]
fn a_collector_gets_the_registry() {
    let collector = Receiver::start(|n| Reaction::Answer(if n == 0 { 503 } else { 200 }));
    let folder = Folder::new("otlp");
    let endpoint = format!("http://{}/", collector.address);
    let flags = ["--otlp-endpoint", &endpoint, "--otlp-interval-ms", "200"];
    let server = Server::start(folder.path(), &flags);
    assert_eq!(server.ask("GET", GET, "", "").0, 404);
    let metric = |json: &Value, name: &str| {
        let metrics = json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].clone();
        let metrics = metrics.as_array().unwrap().clone();
        metrics.into_iter().find(|metric| metric["name"] == name)
    };
    let export = until("an export with the request", || {
        let received = collector.received();
        let json = received.last()?.json();
        metric(&json, "http.server.request.duration").map(|_| json)
    });
    let first = &collector.received()[0];
    assert_eq!(first.path, "/v1/metrics");
    assert_eq!(first.header("content-type"), Some("application/json"));
    let attributes = export["resourceMetrics"][0]["resource"]["attributes"]
        .as_array()
        .unwrap();
    let names: Vec<_> = attributes
        .iter()
        .map(|a| a["key"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["service.name", "service.version", "service.instance.id"]
    );
    let duration = metric(&export, "http.server.request.duration").unwrap();
    assert_eq!(duration["unit"], "s");
    for point in duration["histogram"]["dataPoints"].as_array().unwrap() {
        let number = |v: &Value| v.as_str().unwrap().parse::<u64>().unwrap();
        let counts = point["bucketCounts"].as_array().unwrap();
        let bounds = point["explicitBounds"].as_array().unwrap();
        assert_eq!(counts.len(), bounds.len() + 1);
        assert_eq!(
            counts.iter().map(number).sum::<u64>(),
            number(&point["count"])
        );
        assert!(number(&point["timeUnixNano"]) > 1_700_000_000_000_000_000);
    }
    let depth = metric(&export, "sommos_queue_depth").unwrap();
    assert_eq!(depth["gauge"]["dataPoints"].as_array().unwrap().len(), 6);
    // One that fails is counted, and the next one goes out all the same.
    until("both counts", || {
        let failed = server.metric("sommos_otlp_exports_total{fate=\"failed\"}")?;
        let taken = server.metric("sommos_otlp_exports_total{fate=\"taken\"}")?;
        (failed == 1.0 && taken >= 1.0).then_some(())
    });
}
