//! The Prometheus text format 0.0.4, with OpenTelemetry's names and units (seconds, bytes,
//! ratios): <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use core::fmt::Write as _;

use super::{
    AlertName, Monitor, Sample, percent,
    state::State,
    traffic::{BOUNDARIES_S, ClassCounts, Traffic},
};
use crate::time::Timestamp;

/// The content type of [`Monitor::export_prometheus`].
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The type of an exported metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows; its name should end in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A metric of the shell's own in an export: queue depth, workers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExtraMetric<'a> {
    /// Its name; characters that Prometheus does not allow become `_`.
    pub name: &'a str,
    /// What it is, in a sentence.
    pub help: &'a str,
    /// Its type.
    pub kind: MetricKind,
    /// Its value now.
    pub value: f64,
}

type Labels<'a> = &'a [(&'a str, &'a str)];

struct Text(String);

// Writing to a String cannot fail: the results below are dropped.
impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            self.0.push(if i == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        let _ = match value {
            v if v == f64::INFINITY => writeln!(self.0, "{} +Inf", close(labels)),
            v if v == f64::NEG_INFINITY => writeln!(self.0, "{} -Inf", close(labels)),
            v => writeln!(self.0, "{} {v}", close(labels)),
        };
    }

    fn single(&mut self, kind: MetricKind, name: &str, help: &str, value: f64) {
        self.family(name, kind.as_str(), help);
        self.line(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.single(MetricKind::Gauge, name, help, value);
        }
    }

    fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.single(MetricKind::Counter, name, help, value);
    }
}

fn close(labels: Labels<'_>) -> &'static str {
    if labels.is_empty() { "" } else { "}" }
}

impl MetricKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// `name` with what Prometheus does not allow replaced.
fn metric_name(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut out: String = name
        .chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect();
    if !out.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':') {
        out.insert(0, '_');
    }
    out
}

const DURATION: &str = "http_server_request_duration_seconds";
const DURATION_BUCKET: &str = "http_server_request_duration_seconds_bucket";
const CLASS_NAMES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

fn requests(text: &mut Text, traffic: &Traffic) {
    text.family(DURATION, "histogram", "Duration of HTTP server requests.");
    for (index, route) in traffic.routes().iter().enumerate() {
        for (class, counts) in CLASS_NAMES.into_iter().zip(traffic.classes(index)) {
            duration(text, (&route.method, &route.template, class), &counts);
        }
    }
    unmeasured(text, traffic);
    let name = "http_server_response_body_bytes_total";
    text.family(name, "counter", "Bytes of HTTP response bodies.");
    for (index, route) in traffic.routes().iter().enumerate() {
        let bytes = traffic.bytes_out(index);
        if bytes > 0 {
            let labels = [
                ("http_request_method", &*route.method),
                ("http_route", &*route.template),
            ];
            text.line(name, &labels, bytes as f64);
        }
    }
}

/// Responses that no bucket counts; told only where there are any.
fn unmeasured(text: &mut Text, traffic: &Traffic) {
    let name = "http_server_unmeasured_requests_total";
    let mut told = false;
    for (index, route) in traffic.routes().iter().enumerate() {
        for (class, counts) in CLASS_NAMES.into_iter().zip(traffic.classes(index)) {
            if counts.unmeasured == 0 {
                continue;
            }
            if !core::mem::replace(&mut told, true) {
                text.family(name, "counter", "Requests whose duration is not known.");
            }
            let labels = [
                ("http_request_method", &*route.method),
                ("http_route", &*route.template),
                ("http_response_status_class", class),
            ];
            text.line(name, &labels, counts.unmeasured as f64);
        }
    }
}

fn duration(text: &mut Text, (method, route, class): (&str, &str, &str), counts: &ClassCounts) {
    let count = counts.measured();
    if count == 0 {
        return;
    }
    let labels = [
        ("http_request_method", method),
        ("http_route", route),
        ("http_response_status_class", class),
    ];
    let [first, second, third] = labels;
    let mut sum = 0;
    for (end, bucket) in BOUNDARIES_S.into_iter().chain(["+Inf"]).zip(counts.buckets) {
        sum += bucket;
        text.line(
            DURATION_BUCKET,
            &[first, second, third, ("le", end)],
            sum as f64,
        );
    }
    let seconds = counts.sum_us as f64 / 1e6;
    text.line("http_server_request_duration_seconds_sum", &labels, seconds);
    text.line(
        "http_server_request_duration_seconds_count",
        &labels,
        count as f64,
    );
}

fn system(text: &mut Text, sample: &Sample) {
    let s = &sample.system;
    let ratio = |percent: Option<f64>| percent.map(|p| p / 100.0);
    let float = |n: Option<u64>| n.map(|n| n as f64);
    let mut gauge = |name, help, value| text.gauge(name, help, value);
    gauge(
        "system_cpu_utilization_ratio",
        "Processor use of the machine.",
        ratio(s.cpu_percent),
    );
    gauge(
        "system_memory_usage_bytes",
        "Memory in use on the machine.",
        float(s.memory_used),
    );
    gauge(
        "system_memory_limit_bytes",
        "Memory of the machine.",
        float(s.memory_total),
    );
    gauge(
        "system_filesystem_usage_bytes",
        "Bytes in use on the disk.",
        float(s.disk_used),
    );
    gauge(
        "system_filesystem_limit_bytes",
        "Bytes of the disk.",
        float(s.disk_total),
    );
    gauge(
        "system_cpu_load_average_1m",
        "Load average over one minute.",
        s.load1,
    );
    let process = ratio(s.process_cpu_percent);
    gauge(
        "process_cpu_utilization_ratio",
        "Processor use of the process, of one core.",
        process,
    );
    gauge(
        "process_memory_usage_bytes",
        "Resident memory of the process.",
        float(s.rss),
    );
    gauge(
        "process_thread_count",
        "Threads of the process.",
        float(s.threads),
    );
    gauge(
        "process_uptime_seconds",
        "Time since the process started.",
        float(s.uptime_s),
    );
}

fn engine(text: &mut Text, sample: &Sample, state: &State) {
    let records = &state.records;
    let in_flight = Some(sample.api.in_flight as f64);
    text.gauge(
        "http_server_active_requests",
        "HTTP requests at work.",
        in_flight,
    );
    text.counter(
        "db_client_operations_total",
        "Database queries.",
        records.queries as f64,
    );
    let seconds = records.query_seconds();
    text.counter(
        "db_client_operation_seconds_total",
        "Time in database queries.",
        seconds,
    );
    let slow = records.slow_queries as f64;
    text.counter(
        "db_client_slow_operations_total",
        "Slow database queries.",
        slow,
    );
    text.counter(
        "cache_hits_total",
        "Cache lookups that hit.",
        records.cache.hits as f64,
    );
    text.counter(
        "cache_misses_total",
        "Cache lookups that missed.",
        records.cache.misses as f64,
    );
    let float = |n: Option<u64>| n.map(|n| n as f64);
    text.gauge("cache_entries", "Cache entries.", float(records.cache.size));
    text.gauge(
        "cache_memory_usage_bytes",
        "Bytes in the cache.",
        float(records.cache.memory),
    );
    let predictions = sample.ml.predictions as f64;
    text.counter("ml_predictions_total", "Predictions made.", predictions);
    let accuracy = sample.ml.accuracy.map(|percent| percent / 100.0);
    text.gauge(
        "ml_prediction_accuracy_ratio",
        "Mean reported accuracy.",
        accuracy,
    );

    text.family("errors_total", "counter", "Recorded errors by type.");
    for error in records.error_types() {
        text.line(
            "errors_total",
            &[("error_type", &error.kind)],
            error.count as f64,
        );
    }
    vitals(text, state);
    text.family(
        "alert_firing",
        "gauge",
        "1 while an alert of this type is open.",
    );
    for name in AlertName::ALL {
        let open = state.alerts.open().any(|alert| alert.name == name);
        text.line(
            "alert_firing",
            &[("type", name.as_str())],
            f64::from(u8::from(open)),
        );
    }
}

fn vitals(text: &mut Text, state: &State) {
    let vitals = state.vitals.view();
    if vitals.is_empty() {
        return;
    }
    text.family(
        "browser_metric_p75",
        "gauge",
        "75th percentile of web vitals and custom metrics.",
    );
    for vital in &vitals {
        text.line("browser_metric_p75", &[("name", &vital.name)], vital.p75);
    }
    text.family(
        "browser_metric_good_ratio",
        "gauge",
        "Share of values rated good.",
    );
    for vital in &vitals {
        let share = percent(vital.good as f64, vital.count as f64) / 100.0;
        text.line("browser_metric_good_ratio", &[("name", &vital.name)], share);
    }
}

impl Monitor {
    /// The content type of [`Self::export_prometheus`].
    pub const PROMETHEUS_CONTENT_TYPE: &str = CONTENT_TYPE;

    /// Everything in the Prometheus text format. `http_server_request_duration_seconds` is a
    /// histogram by `http_request_method`, `http_route` (the template) and
    /// `http_response_status_class` (`2xx`); series without a request are left out, as are values
    /// that are unknown. At most about 2 KB a route and status class.
    #[must_use]
    pub fn export_prometheus(&self, now: Timestamp, extra: &[ExtraMetric<'_>]) -> String {
        let mut text = Text(String::with_capacity(16 << 10));
        requests(&mut text, &self.traffic);
        self.with_sample(now, |sample, state| {
            engine(&mut text, sample, state);
            system(&mut text, sample);
        });
        for metric in extra {
            let name = metric_name(metric.name);
            text.single(metric.kind, &name, metric.help, metric.value);
        }
        text.0
    }
}
