//! OpenTelemetry's metrics as OTLP/HTTP JSON:
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>. 64-bit whole numbers are
//! texts there, as in the JSON form of all protocol buffers.

use serde_json::{Value, json};

use super::{
    MetricFamily, MetricKind, MetricSeries, MetricValue, Monitor,
    family::{Buckets, Labels},
};
use crate::time::Timestamp;

/// Cumulative: each point is the sum since the counter began.
const CUMULATIVE: u8 = 2;

/// Families whose name in OpenTelemetry's conventions is not Prometheus's.
const NAMES: [(&str, &str); 3] = [
    (
        "http_server_request_duration_seconds",
        "http.server.request.duration",
    ),
    ("http_server_active_requests", "http.server.active_requests"),
    ("process_uptime_seconds", "process.uptime"),
];

/// Labels likewise.
const ATTRIBUTES: [(&str, &str); 3] = [
    ("http_request_method", "http.request.method"),
    ("http_route", "http.route"),
    ("error_type", "error.type"),
];

fn renamed<'a>(names: &[(&str, &'static str)], name: &'a str) -> &'a str {
    let found = names.iter().find(|(known, _)| *known == name);
    found.map_or(name, |(_, other)| other)
}

fn attribute(name: &str, value: &str) -> Value {
    json!({"key": name, "value": {"stringValue": value}})
}

fn attributes(labels: &Labels<'_>) -> Vec<Value> {
    labels
        .iter()
        .map(|(label, value)| attribute(renamed(&ATTRIBUTES, label), value))
        .collect()
}

fn number(series: &MetricSeries<'_>, value: f64, nanos: &str) -> Value {
    json!({
        "attributes": attributes(&series.labels),
        "timeUnixNano": nanos,
        "asDouble": value,
    })
}

fn histogram(series: &MetricSeries<'_>, buckets: &Buckets, nanos: &str) -> Value {
    let counts: Vec<String> = buckets.counts.iter().map(u64::to_string).collect();
    json!({
        "attributes": attributes(&series.labels),
        "timeUnixNano": nanos,
        "count": buckets.count().to_string(),
        "sum": buckets.sum,
        "bucketCounts": counts,
        "explicitBounds": buckets.bounds,
    })
}

/// None of a family without a point that JSON can hold.
fn metric(family: &MetricFamily<'_>, nanos: &str) -> Option<Value> {
    let points: Vec<Value> = family
        .series
        .iter()
        .filter_map(|series| match &series.value {
            MetricValue::Number(value) if value.is_finite() => Some(number(series, *value, nanos)),
            MetricValue::Number(_) => None,
            MetricValue::Buckets(buckets) => Some(histogram(series, buckets, nanos)),
        })
        .collect();
    if points.is_empty() {
        return None;
    }
    let (kind, data) = match family.kind {
        MetricKind::Gauge => ("gauge", json!({"dataPoints": points})),
        MetricKind::Counter => (
            "sum",
            json!({
                "aggregationTemporality": CUMULATIVE,
                "isMonotonic": true,
                "dataPoints": points,
            }),
        ),
        MetricKind::Histogram => (
            "histogram",
            json!({"aggregationTemporality": CUMULATIVE, "dataPoints": points}),
        ),
    };
    Some(json!({
        "name": renamed(&NAMES, &family.name),
        "description": family.help,
        "unit": family.unit,
        kind: data,
    }))
}

impl Monitor {
    /// Everything as an `ExportMetricsServiceRequest` in OTLP's JSON, for POST /v1/metrics.
    /// `resource` names the instance, such as `service.name`. When counters began is not told: they
    /// outlive processes.
    #[must_use]
    pub fn export_otlp(
        &self,
        now: Timestamp,
        resource: &[(&str, &str)],
        extra: &[MetricFamily<'_>],
    ) -> Vec<u8> {
        let nanos = format!("{}000000", now.0);
        let families = self.families(now);
        let metrics: Vec<Value> = families
            .iter()
            .chain(extra)
            .filter_map(|family| metric(family, &nanos))
            .collect();
        let resource: Vec<Value> = resource
            .iter()
            .map(|(name, value)| attribute(name, value))
            .collect();
        let request = json!({
            "resourceMetrics": [{
                "resource": {"attributes": resource},
                "scopeMetrics": [{
                    "scope": {"name": "sommos", "version": env!("CARGO_PKG_VERSION")},
                    "metrics": metrics,
                }],
            }],
        });
        request.to_string().into_bytes()
    }
}
