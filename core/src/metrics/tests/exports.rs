use std::collections::HashSet;

use super::{START, at, monitor};
use crate::metrics::{
    ErrorOrigin, ExportRange, MetricFamily, Monitor, MonitorConfig, Route, SystemSample, WebMetric,
};

#[test]
fn csv_has_a_header_and_a_row_a_sample() {
    let monitor = monitor();
    for second in [0, 5, 10] {
        monitor.record_request(0, 200, 1500, 7);
        let cpu_percent = (second != 5).then_some(12.5);
        monitor.record_system(
            at(second),
            &SystemSample {
                cpu_percent,
                ..Default::default()
            },
        );
        monitor.sample(at(second));
    }
    let csv = monitor.export_csv(&ExportRange::default()).unwrap();
    let lines: Vec<Vec<&str>> = csv
        .strip_suffix("\r\n")
        .unwrap()
        .split("\r\n")
        .map(|l| l.split(',').collect())
        .collect();
    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|line| line.len() == lines[0].len()));
    assert_eq!(
        lines[0].iter().collect::<HashSet<_>>().len(),
        lines[0].len()
    );
    let column = |name| {
        let place = lines[0].iter().position(|n| *n == name).unwrap();
        [lines[1][place], lines[2][place], lines[3][place]]
    };
    assert_eq!(column("timestamp")[2], at(10).0.to_string());
    assert_eq!(column("system.cpuPercent"), ["12.5", "", "12.5"]);
    assert_eq!(column("application.responses"), ["1", "2", "3"]);
    assert_eq!(column("api.bytesOut"), ["7", "14", "21"]);
    let late = ExportRange {
        from: at(6),
        ..Default::default()
    };
    assert_eq!(monitor.export_csv(&late).unwrap().lines().count(), 2);
    assert!(
        monitor
            .export_csv(&ExportRange {
                to: at(0),
                from: at(1),
                step_ms: None
            })
            .is_err()
    );
}

#[test]
fn json_holds_everything() {
    let monitor = monitor();
    monitor.record_request(0, 500, 1500, 7);
    monitor.record_error(START, ErrorOrigin::Response, "db", "locked", None);
    monitor.record_ml_prediction("cf", 1.0, Some(f64::NAN));
    monitor.sample(at(5));
    let text = monitor.export_json(at(5), &ExportRange::default()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["timestamp"], at(5).0);
    assert_eq!(json["summary"]["application"]["errors"], 1);
    assert_eq!(json["summary"]["windows"]["1m"]["responses"], 1);
    assert_eq!(json["errors"]["types"][0]["type"], "db");
    assert_eq!(json["endpoints"][0]["errorRate"], 100.0);
    for category in ["system", "application", "database", "api", "cache", "ml"] {
        assert_eq!(
            json["history"][category][0]["timestamp"],
            at(5).0,
            "{category}"
        );
        assert_eq!(
            json["history"][category][0]["data"], json["metrics"][category],
            "{category}"
        );
    }
}

#[test]
fn prometheus_text_is_well_formed() {
    let odd = "/a\"b\\c\nd";
    let routes = vec![Route::new("GET", odd), Route::new("POST", "/idle")];
    let config = MonitorConfig {
        routes,
        ..Default::default()
    };
    let monitor = Monitor::new(START, config).unwrap();
    for us in [5_000, 5_001, 80_000, 11_000_000] {
        monitor.record_request(0, 204, us, 10);
    }
    monitor.record_error(START, ErrorOrigin::Other, "say \"hi\"", "x", None);
    let vital = WebMetric {
        name: "lcp",
        value: 2000.0,
        rating: None,
    };
    monitor.record_web_metric(&vital).unwrap();
    let cpu = SystemSample {
        cpu_percent: Some(50.0),
        ..Default::default()
    };
    monitor.record_system(START, &cpu);
    let extra = [
        MetricFamily::gauge("queue depth", "{job}", "a\nb", Some(3.0)),
        MetricFamily::counter("9_total", "1", "", f64::INFINITY),
        MetricFamily::gauge("unknown", "1", "", None),
        MetricFamily::counter("cache_hits_total", "1", "again", 1.0),
    ];
    let text = monitor.export_prometheus(at(1), &extra);
    let labels = "http_request_method=\"GET\",http_route=\"/a\\\"b\\\\c\\nd\",\
                  http_response_status_class=\"2xx\"";
    let duration = "http_server_request_duration_seconds";
    for line in [
        format!("# TYPE {duration} histogram"),
        format!("{duration}_bucket{{{labels},le=\"0.005\"}} 1"),
        format!("{duration}_bucket{{{labels},le=\"0.01\"}} 2"),
        format!("{duration}_bucket{{{labels},le=\"10\"}} 3"),
        format!("{duration}_bucket{{{labels},le=\"+Inf\"}} 4"),
        format!("{duration}_sum{{{labels}}} 11.090001"),
        format!("{duration}_count{{{labels}}} 4"),
        "errors_total{error_type=\"say \\\"hi\\\"\"} 1".into(),
        "system_cpu_utilization_ratio 0.5".into(),
        "alert_firing{type=\"HIGH_CPU\"} 0".into(),
        "# HELP queue_depth a\\nb".into(),
        "queue_depth 3".into(),
        "_9_total +Inf".into(),
    ] {
        assert!(text.lines().any(|l| l == line), "no line {line}\n{text}");
    }
    assert!(
        !text.contains("/idle") && !text.contains("system_memory") && !text.contains("unknown"),
        "{text}"
    );
    assert_eq!(text.matches("_bucket{").count(), 15);
    let types: Vec<&str> = text.lines().filter(|l| l.starts_with("# TYPE")).collect();
    assert_eq!(
        types.len(),
        types.iter().collect::<HashSet<_>>().len(),
        "a family twice"
    );
}

#[test]
fn otlp_holds_the_same_families() {
    let monitor = monitor();
    for us in [5_000, 80_000, 11_000_000] {
        monitor.record_request(0, 204, us, 10);
    }
    let extra = [
        MetricFamily::counter("endless_total", "1", "", f64::INFINITY),
        MetricFamily::gauge("sommos_queue_depth", "{item}", "Waiting.", Some(3.0)),
    ];
    let bytes = monitor.export_otlp(at(1), &[("service.name", "sommos")], &extra);
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let resource = &json["resourceMetrics"][0];
    let attribute = &resource["resource"]["attributes"][0];
    assert_eq!(attribute["key"], "service.name");
    assert_eq!(attribute["value"]["stringValue"], "sommos");
    let metrics = resource["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let find = |name: &str| metrics.iter().find(|m| m["name"] == name);
    let duration = find("http.server.request.duration").unwrap();
    assert_eq!(duration["unit"], "s");
    assert_eq!(duration["histogram"]["aggregationTemporality"], 2);
    let point = &duration["histogram"]["dataPoints"][0];
    let nanos = format!("{}000000", at(1).0);
    assert_eq!(point["timeUnixNano"], nanos);
    assert_eq!(point["count"], "3");
    assert_eq!(point["sum"], 11.085);
    let counts = point["bucketCounts"].as_array().unwrap();
    let bounds = point["explicitBounds"].as_array().unwrap();
    assert_eq!((counts.len(), bounds.len()), (15, 14));
    assert_eq!(
        (&counts[0], &counts[14], &bounds[0]),
        (&"1".into(), &"1".into(), &0.005.into())
    );
    let names: Vec<_> = point["attributes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["key"])
        .collect();
    assert_eq!(
        names,
        [
            "http.request.method",
            "http.route",
            "http_response_status_class"
        ]
    );
    let depth = find("sommos_queue_depth").unwrap();
    assert_eq!(depth["gauge"]["dataPoints"][0]["asDouble"], 3.0);
    let hits = find("cache_hits_total").unwrap();
    assert_eq!(hits["sum"]["isMonotonic"], true);
    assert!(find("endless_total").is_none());
}
