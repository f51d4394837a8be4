//! Units of the numbers of monitoring and of the tests in the OpenAPI document, as `x-unit`.
//!
//! `unix-ms`, `ms`, `s`, `bytes`, `percent`, `count`, `1/s`, `1` (a plain number), or words where a
//! field beside it says the unit.

use serde_json::{Map, Value};

use crate::metrics::unit::{self, BYTES, COUNT, MS, NUMBER, PER_SECOND, PERCENT, SECONDS, UNIX_MS};

/// The unit stands in the field `unit` beside it, or of the trend it belongs to.
const AS_TOLD: &str = "as in unit";
/// Web vitals are milliseconds; `cls` and custom metrics plain numbers.
const VITAL: &str = "ms; 1 for cls and custom metrics";

/// The first parts of the paths whose numbers have units.
const TAGS: [&str; 3] = ["metrics", "monitoring", "test"];

/// Fields that mean something else in one schema than in the others.
const SPECIAL: &[(&str, &str, &str)] = &[
    ("Alert", "value", AS_TOLD),
    ("Alert", "threshold", AS_TOLD),
    ("RuleResponse", "value", AS_TOLD),
    ("RuleResponse", "threshold", AS_TOLD),
    ("RuleResponse", "clear", AS_TOLD),
    ("Trend", "mean", AS_TOLD),
    ("Trend", "change", AS_TOLD),
    ("Trend", "threshold", AS_TOLD),
    ("Trend", "slopePerHour", "as in unit, an hour"),
    ("Outlier", "value", AS_TOLD),
    ("ReportedMetric", "value", VITAL),
    ("VitalMetrics", "mean", VITAL),
    ("VitalMetrics", "min", VITAL),
    ("VitalMetrics", "max", VITAL),
    ("VitalMetrics", "last", VITAL),
    ("VitalMetrics", "p75", VITAL),
    ("ReportedMetric", "status", NUMBER),
    ("SummarySystem", "cpu", PERCENT),
    ("InstanceSummary", "cpu", PERCENT),
];

/// Fields of one meaning, whose names are no figures of the history.
const NAMES: &[(&str, &[&str])] = &[
    (
        UNIX_MS,
        &[
            "timestamp",
            "resolvedAt",
            "lastAt",
            "lastSeen",
            "from",
            "to",
            "startTime",
            "endTime",
        ],
    ),
    (
        MS,
        &[
            "ageMs",
            "spanMs",
            "forMs",
            "keepMs",
            "window",
            "step",
            "timeToThreshold",
            "duration",
            "durationMs",
            "averageResponseTime",
            "maxResponseTime",
            "minResponseTime",
            "totalTime",
            "min",
            "mean",
            "max",
            "p50",
            "p90",
            "p95",
            "p99",
            "p999",
            "latency",
        ],
    ),
    (
        BYTES,
        &[
            "bytes",
            "dataSize",
            "initialMemory",
            "peakMemory",
            "finalMemory",
            "memoryIncrease",
            "memoryPerIteration",
            "leaked",
            "bytesSent",
            "bytesReceived",
        ],
    ),
    (
        PERCENT,
        &["changePercent", "cpuPerCore", "successRate", "percentile"],
    ),
    (SECONDS, &["second", "seconds"]),
    (
        PER_SECOND,
        &["rate", "requestsPerSecond", "offeredRate", "achievedRate"],
    ),
    (
        COUNT,
        &[
            "active",
            "alerts",
            "cacheHits",
            "cacheMisses",
            "closed",
            "concurrency",
            "connect",
            "connections",
            "count",
            "done",
            "droppedRequests",
            "abandonedRequests",
            "failedRequests",
            "fresh",
            "good",
            "iterations",
            "jobsActive",
            "jobsQueued",
            "leftOff",
            "limit",
            "minSamples",
            "needsImprovement",
            "offeredRequests",
            "plannedRequests",
            "poor",
            "processed",
            "protocol",
            "queued",
            "redirect",
            "samples",
            "stale",
            "statuses",
            "successfulRequests",
            "timeout",
            "total",
            "totalRequests",
        ],
    ),
];

fn unit(schema: &str, field: &str) -> Option<&'static str> {
    let special = SPECIAL
        .iter()
        .find(|(s, f, _)| (*s, *f) == (schema, field))
        .map(|(.., unit)| *unit);
    let named = || {
        let mut names = NAMES.iter().filter(|(_, names)| names.contains(&field));
        names.next().map(|(unit, _)| *unit)
    };
    special.or_else(|| unit::find(field)).or_else(named)
}

/// Whether a schema is of a number, of several, or of a map of them.
fn numeric(schema: &Value) -> bool {
    let number = |kind: &Value| matches!(kind.as_str(), Some("integer" | "number"));
    let kind = &schema["type"];
    let inner = |name| schema.get(name).is_some_and(numeric);
    number(kind)
        || kind
            .as_array()
            .is_some_and(|kinds| kinds.iter().any(number))
        || inner("items")
        || inner("additionalProperties")
        || ["oneOf", "anyOf"].iter().any(|any| {
            let list = schema[*any].as_array();
            list.is_some_and(|list| list.iter().any(numeric))
        })
}

/// Calls `found` with the name and the properties of every schema within one that has any.
fn properties(
    name: &str,
    schema: &mut Value,
    found: &mut dyn FnMut(&str, &mut Map<String, Value>),
) {
    if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        found(name, fields);
        for (_, field) in fields.iter_mut() {
            properties(name, field, found);
        }
    }
    for any in ["allOf", "oneOf", "anyOf"] {
        let list = schema.get_mut(any).and_then(Value::as_array_mut);
        for inner in list.into_iter().flatten() {
            properties(name, inner, found);
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(inner).filter(|inner| inner.is_object()) {
            properties(name, inner, found);
        }
    }
}

/// Names of the schemas that a part of the document refers to, those they refer to included.
fn reached(part: &Value, schemas: &Map<String, Value>, names: &mut Vec<String>) {
    match part {
        Value::Object(map) => {
            let name = map.get("$ref").and_then(Value::as_str);
            let name = name.and_then(|path| path.strip_prefix("#/components/schemas/"));
            if let Some(name) = name.filter(|name| !names.iter().any(|known| known == name)) {
                names.push(name.to_owned());
                if let Some(schema) = schemas.get(name) {
                    reached(schema, schemas, names);
                }
            }
            map.values()
                .for_each(|value| reached(value, schemas, names));
        }
        Value::Array(list) => list.iter().for_each(|value| reached(value, schemas, names)),
        _ => {}
    }
}

/// Calls `found` with the name of a schema and the properties, for every schema of the paths above;
/// with an empty name for the parameters of a query.
fn visit(
    paths: &mut Map<String, Value>,
    schemas: &mut Map<String, Value>,
    found: &mut dyn FnMut(&str, &mut Map<String, Value>),
) {
    let mut names = Vec::new();
    for operation in paths.values_mut().filter_map(Value::as_object_mut) {
        for operation in operation.values_mut() {
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            if !TAGS.contains(&tag) {
                continue;
            }
            reached(operation, schemas, &mut names);
            let parameters = operation["parameters"].as_array_mut();
            for parameter in parameters.into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap_or_default().to_owned();
                let mut field = Map::new();
                field.insert(name.clone(), parameter["schema"].take());
                found("", &mut field);
                parameter["schema"] = field.remove(&name).unwrap_or_default();
            }
        }
    }
    for name in names {
        if let Some(schema) = schemas.get_mut(&name) {
            properties(&name, schema, found);
        }
    }
}

/// Writes the units into a document's paths and schemas.
pub(super) fn annotate(paths: &mut Map<String, Value>, schemas: &mut Map<String, Value>) {
    visit(paths, schemas, &mut |schema, fields| {
        for (name, field) in fields.iter_mut().filter(|(_, field)| numeric(field)) {
            if let Some(unit) = unit(schema, name) {
                field["x-unit"] = unit.into();
            }
        }
    });
}

/// `Schema.field` of every number of monitoring and of the tests that has no unit in a document. For
/// the tests of those who add schemas.
#[must_use]
pub fn without_unit(document: &Value) -> Vec<String> {
    let mut document = document.clone();
    let mut missing = Vec::new();
    let mut schemas = match document["components"]["schemas"].take() {
        Value::Object(schemas) => schemas,
        _ => Map::new(),
    };
    if let Some(paths) = document["paths"].as_object_mut() {
        visit(paths, &mut schemas, &mut |schema, fields| {
            let bare = fields
                .iter()
                .filter(|(_, field)| numeric(field) && field.get("x-unit").is_none());
            missing.extend(bare.map(|(name, _)| format!("{schema}.{name}")));
        });
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::openapi::document;

    #[test]
    fn every_number_of_monitoring_and_tests_has_a_unit() {
        assert_eq!(without_unit(&document()), [""; 0]);
    }

    #[test]
    fn units_are_right_where_names_mislead() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        for (schema, field, unit) in [
            ("SummaryApplication", "throughput", "1/s"),
            ("SummaryApplication", "errorRate", "percent"),
            ("SummaryApplication", "responseTime", "ms"),
            ("SummarySystem", "memory", "bytes"),
            ("SummarySystem", "uptime", "s"),
            ("CacheMetrics", "size", "count"),
            ("CacheMetrics", "hitRate", "percent"),
            ("Point", "timestamp", "unix-ms"),
            ("Trend", "timeToThreshold", "ms"),
            ("LoadTestRequest", "rate", "1/s"),
            ("MemoryTestRequest", "dataSize", "bytes"),
        ] {
            let found = &schemas[schema]["properties"][field]["x-unit"];
            assert_eq!(found, unit, "{schema}.{field}");
        }
        // Only these: elsewhere a name may mean something else.
        let entries = &schemas["CacheStatsResponse"]["properties"];
        assert!(entries["hitRate"]["x-unit"].is_null() && entries["hitRate"].is_object());
    }

    #[test]
    fn a_number_without_a_unit_is_found() {
        let mut document = document();
        let fields = document["components"]["schemas"]["Point"]["properties"].as_object_mut();
        let number = serde_json::json!({"type": ["integer", "null"]});
        fields.unwrap().insert("odd".into(), number);
        assert_eq!(without_unit(&document), ["Point.odd"]);
    }
}
