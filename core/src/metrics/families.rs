//! The registry as families: what Prometheus and OpenTelemetry are told. Names and units are
//! OpenTelemetry's (seconds, bytes, ratios) in Prometheus's spelling.

use super::{
    AlertName, MetricFamily, MetricKind, MetricValue, Monitor, Route, Sample,
    family::{Buckets, Labels},
    percent,
    state::State,
    traffic::{CLASSES, Traffic},
};
use crate::time::Timestamp;

use MetricKind::{Counter, Gauge, Histogram};

const CLASS_NAMES: [&str; CLASSES] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

type Families<'a> = Vec<MetricFamily<'a>>;

impl Monitor {
    /// Every family of the registry as it stands; those without a series too.
    pub(super) fn families(&self, now: Timestamp) -> Families<'_> {
        let mut families = requests(&self.traffic);
        self.with_sample(now, |sample, state| {
            records(&mut families, sample, state);
            vitals(&mut families, state);
            alerts(&mut families, state);
            system(&mut families, sample);
            flows(&mut families, sample, state);
        });
        families
    }
}

fn route_labels(route: &Route) -> Labels<'_> {
    vec![
        ("http_request_method", (*route.method).into()),
        ("http_route", (*route.template).into()),
    ]
}

fn requests(traffic: &Traffic) -> Families<'_> {
    let mut durations = MetricFamily::new(
        Histogram,
        "http_server_request_duration_seconds",
        "s",
        "Duration of HTTP server requests.",
    );
    let mut unmeasured = MetricFamily::new(
        Counter,
        "http_server_unmeasured_requests_total",
        "{request}",
        "Requests whose duration is not known.",
    );
    let mut bytes_out = MetricFamily::new(
        Counter,
        "http_server_response_body_bytes_total",
        "By",
        "Bytes of HTTP response bodies.",
    );
    let mut bytes_in = MetricFamily::new(
        Counter,
        "http_server_request_body_bytes_total",
        "By",
        "Bytes of HTTP request bodies.",
    );
    let mut responses = MetricFamily::new(
        Counter,
        "http_server_responses_total",
        "{response}",
        "HTTP responses by status.",
    );
    for (index, route) in traffic.routes().into_iter().enumerate() {
        for (status, count) in traffic.statuses(index) {
            let mut labels = route_labels(route);
            labels.push(("http_response_status_code", status.to_string().into()));
            responses.push(labels, MetricValue::Number(count as f64));
        }
        for (class, counts) in CLASS_NAMES.into_iter().zip(traffic.classes(index)) {
            let labels = || {
                let mut labels = route_labels(route);
                labels.push(("http_response_status_class", class.into()));
                labels
            };
            if counts.measured() > 0 {
                durations.push(
                    labels(),
                    MetricValue::Buckets(Buckets::of_requests(&counts)),
                );
            }
            if counts.unmeasured > 0 {
                unmeasured.push(labels(), MetricValue::Number(counts.unmeasured as f64));
            }
        }
        let bytes = [
            (&mut bytes_out, traffic.bytes_out(index)),
            (&mut bytes_in, traffic.bytes_in(index)),
        ];
        for (family, bytes) in bytes {
            if bytes > 0 {
                family.push(route_labels(route), MetricValue::Number(bytes as f64));
            }
        }
    }
    vec![durations, unmeasured, responses, bytes_out, bytes_in]
}

fn float(value: Option<u64>) -> Option<f64> {
    value.map(|n| n as f64)
}

fn records(to: &mut Families<'_>, sample: &Sample, state: &State) {
    let records = &state.records;
    let cache = &records.cache;
    let accuracy = sample.ml.accuracy.map(|percent| percent / 100.0);
    to.extend([
        MetricFamily::gauge(
            "http_server_active_requests",
            "{request}",
            "HTTP requests at work.",
            Some(sample.api.in_flight as f64),
        ),
        MetricFamily::counter(
            "db_client_operations_total",
            "{operation}",
            "Database queries.",
            records.queries as f64,
        ),
        MetricFamily::counter(
            "db_client_operation_seconds_total",
            "s",
            "Time in database queries.",
            records.query_seconds(),
        ),
        MetricFamily::counter(
            "db_client_slow_operations_total",
            "{operation}",
            "Slow database queries.",
            records.slow_queries as f64,
        ),
        MetricFamily::counter(
            "cache_hits_total",
            "{lookup}",
            "Cache lookups that hit.",
            cache.hits as f64,
        ),
        MetricFamily::counter(
            "cache_misses_total",
            "{lookup}",
            "Cache lookups that missed.",
            cache.misses as f64,
        ),
        MetricFamily::gauge(
            "cache_entries",
            "{entry}",
            "Cache entries.",
            float(cache.size),
        ),
        MetricFamily::gauge(
            "cache_memory_usage_bytes",
            "By",
            "Bytes in the cache.",
            float(cache.memory),
        ),
        MetricFamily::counter(
            "ml_predictions_total",
            "{prediction}",
            "Predictions made.",
            sample.ml.predictions as f64,
        ),
        MetricFamily::gauge(
            "ml_prediction_accuracy_ratio",
            "1",
            "Mean reported accuracy.",
            accuracy,
        ),
    ]);
    let mut errors = MetricFamily::new(
        Counter,
        "errors_total",
        "{error}",
        "Recorded errors by type.",
    );
    for error in records.error_types() {
        let labels = vec![("error_type", error.kind.clone().into_string().into())];
        errors.push(labels, MetricValue::Number(error.count as f64));
    }
    to.push(errors);
}

fn vitals(to: &mut Families<'_>, state: &State) {
    let mut p75 = MetricFamily::new(
        Gauge,
        "browser_metric_p75",
        "1",
        "75th percentile of web vitals and custom metrics, in the unit of each.",
    );
    let mut good = MetricFamily::new(
        Gauge,
        "browser_metric_good_ratio",
        "1",
        "Share of values rated good.",
    );
    for vital in state.vitals.view() {
        let labels: Labels<'_> = vec![("name", vital.name.into_string().into())];
        let share = percent(vital.good as f64, vital.count as f64) / 100.0;
        p75.push(labels.clone(), MetricValue::Number(vital.p75));
        good.push(labels, MetricValue::Number(share));
    }
    to.extend([p75, good]);
}

fn alerts(to: &mut Families<'_>, state: &State) {
    let mut firing = MetricFamily::new(
        Gauge,
        "alert_firing",
        "1",
        "1 while an alert of this type is open.",
    );
    for name in AlertName::ALL {
        let open = state.alerts.open().any(|alert| alert.name == name);
        let value = MetricValue::Number(f64::from(u8::from(open)));
        firing.push(vec![("type", name.as_str().into())], value);
    }
    to.push(firing);
}

/// A family of rates, one series a direction.
fn rates(
    name: &'static str,
    help: &'static str,
    directions: [(&'static str, Option<f64>); 2],
) -> MetricFamily<'static> {
    let mut family = MetricFamily::new(Gauge, name, "By/s", help);
    for (direction, rate) in directions {
        if let Some(rate) = rate {
            let labels = vec![("direction", direction.into())];
            family.push(labels, MetricValue::Number(rate));
        }
    }
    family
}

fn flows(to: &mut Families<'_>, sample: &Sample, state: &State) {
    let s = &sample.system;
    let mut cores = MetricFamily::new(
        Gauge,
        "system_cpu_core_utilization_ratio",
        "1",
        "Processor use of each core.",
    );
    for (core, percent) in state.cores.iter().enumerate() {
        let labels = vec![("cpu", core.to_string().into())];
        cores.push(labels, MetricValue::Number(percent / 100.0));
    }
    to.extend([
        cores,
        rates(
            "system_disk_io_bytes_per_second",
            "Bytes between the machine's disks and its memory, a second.",
            [("read", s.disk_read), ("write", s.disk_write)],
        ),
        rates(
            "system_network_io_bytes_per_second",
            "Bytes over the machine's network interfaces but loopback, a second.",
            [("receive", s.network_in), ("transmit", s.network_out)],
        ),
        rates(
            "process_disk_io_bytes_per_second",
            "Bytes between the disks and this process, a second.",
            [("read", s.process_read), ("write", s.process_write)],
        ),
    ]);
}

fn system(to: &mut Families<'_>, sample: &Sample) {
    let s = &sample.system;
    let ratio = |percent: Option<f64>| percent.map(|p| p / 100.0);
    to.extend([
        MetricFamily::gauge(
            "system_cpu_utilization_ratio",
            "1",
            "Processor use of the machine.",
            ratio(s.cpu_percent),
        ),
        MetricFamily::gauge(
            "system_memory_usage_bytes",
            "By",
            "Memory in use on the machine.",
            float(s.memory_used),
        ),
        MetricFamily::gauge(
            "system_memory_limit_bytes",
            "By",
            "Memory of the machine.",
            float(s.memory_total),
        ),
        MetricFamily::gauge(
            "system_filesystem_usage_bytes",
            "By",
            "Bytes in use on the disk.",
            float(s.disk_used),
        ),
        MetricFamily::gauge(
            "system_filesystem_limit_bytes",
            "By",
            "Bytes of the disk.",
            float(s.disk_total),
        ),
        MetricFamily::gauge(
            "system_cpu_load_average_1m",
            "{task}",
            "Load average over one minute.",
            s.load1,
        ),
        MetricFamily::gauge(
            "system_cpu_load_average_5m",
            "{task}",
            "Load average over five minutes.",
            s.load5,
        ),
        MetricFamily::gauge(
            "system_cpu_load_average_15m",
            "{task}",
            "Load average over a quarter of an hour.",
            s.load15,
        ),
        MetricFamily::gauge(
            "process_cpu_utilization_ratio",
            "1",
            "Processor use of the process, of one core.",
            ratio(s.process_cpu_percent),
        ),
        MetricFamily::gauge(
            "process_memory_usage_bytes",
            "By",
            "Resident memory of the process.",
            float(s.rss),
        ),
        MetricFamily::gauge(
            "process_threads",
            "{thread}",
            "Threads of the process.",
            float(s.threads),
        ),
        MetricFamily::gauge(
            "process_open_files",
            "{file}",
            "Open files of the process.",
            float(s.open_files),
        ),
        MetricFamily::gauge(
            "process_heap_usage_bytes",
            "By",
            "Heap bytes that the allocator has handed out.",
            float(s.heap_used),
        ),
        MetricFamily::gauge(
            "process_uptime_seconds",
            "s",
            "Time since the process started.",
            float(s.uptime_s),
        ),
    ]);
}
