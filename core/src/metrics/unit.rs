//! Units of what is measured.

/// Times since 1970.
pub const UNIX_MS: &str = "unix-ms";
/// Durations.
pub const MS: &str = "ms";
/// Longer durations.
pub const SECONDS: &str = "s";
/// Sizes.
pub const BYTES: &str = "bytes";
/// Parts of a hundred.
pub const PERCENT: &str = "percent";
/// How many.
pub const COUNT: &str = "count";
/// How many in a second.
pub const PER_SECOND: &str = "1/s";
/// Bytes in a second.
pub const BYTES_PER_SECOND: &str = "bytes/s";
/// A plain number.
pub const NUMBER: &str = "1";

/// The units of the figures, by their names on the wire: one name has one unit in every category.
const UNITS: &[(&str, &[&str])] = &[
    (
        PERCENT,
        &[
            "cpuPercent",
            "processCpuPercent",
            "errorRate",
            "recentErrorRate",
            "hitRate",
            "accuracy",
        ],
    ),
    (
        BYTES,
        &[
            "memoryUsed",
            "memoryTotal",
            "rss",
            "diskUsed",
            "diskTotal",
            "bytesOut",
            "heapUsed",
            "memory",
            "heapUsed",
        ],
    ),
    (
        MS,
        &[
            "responseTime",
            "recentResponseTime",
            "p50Ms",
            "p95Ms",
            "p99Ms",
            "queryTime",
            "predictionTime",
        ],
    ),
    (SECONDS, &["uptime"]),
    (PER_SECOND, &["throughput"]),
    (
        BYTES_PER_SECOND,
        &[
            "diskReadRate",
            "diskWriteRate",
            "networkReceiveRate",
            "networkTransmitRate",
            "processReadRate",
            "processWriteRate",
        ],
    ),
    (NUMBER, &["load1", "load5", "load15"]),
    (
        COUNT,
        &[
            "threads",
            "openFiles",
            "requests",
            "responses",
            "errors",
            "queries",
            "slowQueries",
            "success",
            "redirects",
            "clientErrors",
            "serverErrors",
            "inFlight",
            "hits",
            "misses",
            "size",
            "predictions",
        ],
    ),
];

/// The unit of a figure of the history, if it is one.
#[must_use]
pub fn find(name: &str) -> Option<&'static str> {
    let mut known = UNITS.iter().filter(|(_, names)| names.contains(&name));
    known.next().map(|(unit, _)| *unit)
}

/// The unit of a figure of the history. A test holds that every one has its line above.
pub(super) fn of(name: &str) -> &'static str {
    find(name).unwrap_or(NUMBER)
}
