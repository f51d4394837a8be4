//! The Prometheus text format 0.0.4:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use core::fmt::Write as _;
use std::collections::HashSet;

use super::{
    MetricFamily, MetricKind, MetricValue, Monitor,
    family::{Buckets, Labels},
};
use crate::time::Timestamp;

/// The content type of [`Monitor::export_prometheus`].
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

struct Text(String);

// Writing to a String cannot fail: the results below are dropped.
impl Text {
    fn family(&mut self, name: &str, family: &MetricFamily<'_>) {
        let kind = match family.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for series in &family.series {
            match &series.value {
                MetricValue::Number(value) => self.line(name, &series.labels, None, *value),
                MetricValue::Buckets(buckets) => self.buckets(name, &series.labels, buckets),
            }
        }
    }

    fn buckets(&mut self, name: &str, labels: &Labels<'_>, buckets: &Buckets) {
        let bucket = format!("{name}_bucket");
        let ends = buckets.bounds.iter().copied().chain([f64::INFINITY]);
        let mut sum = 0;
        for (end, count) in ends.zip(&buckets.counts) {
            sum += count;
            self.line(&bucket, labels, Some(end), sum as f64);
        }
        self.line(&format!("{name}_sum"), labels, None, buckets.sum);
        self.line(&format!("{name}_count"), labels, None, sum as f64);
    }

    fn line(&mut self, name: &str, labels: &Labels<'_>, end: Option<f64>, value: f64) {
        self.0.push_str(name);
        let mut before = '{';
        for (label, text) in labels {
            let _ = write!(self.0, "{before}{label}=\"");
            before = ',';
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
        if let Some(end) = end {
            let _ = write!(self.0, "{before}le=\"");
            before = ',';
            self.number(end);
            self.0.push('"');
        }
        self.0.push_str(if before == ',' { "} " } else { " " });
        self.number(value);
        self.0.push('\n');
    }

    fn number(&mut self, value: f64) {
        let _ = match value {
            f64::INFINITY => write!(self.0, "+Inf"),
            f64::NEG_INFINITY => write!(self.0, "-Inf"),
            value => write!(self.0, "{value}"),
        };
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

impl Monitor {
    /// The content type of [`Self::export_prometheus`].
    pub const PROMETHEUS_CONTENT_TYPE: &str = CONTENT_TYPE;

    /// Everything in the Prometheus text format. `http_server_request_duration_seconds` is a
    /// histogram by `http_request_method`, `http_route` (the template) and
    /// `http_response_status_class` (`2xx`); series without a request are left out, as are values
    /// that are unknown. At most about 2 KB a route and status class. `extra` are families of the
    /// shell's own; one with the name of another is left out.
    #[must_use]
    pub fn export_prometheus(&self, now: Timestamp, extra: &[MetricFamily<'_>]) -> String {
        let families = self.families(now);
        let mut text = Text(String::with_capacity(16 << 10));
        let mut told = HashSet::new();
        for family in families.iter().chain(extra) {
            let name = metric_name(&family.name);
            if !family.series.is_empty() && told.insert(name.clone()) {
                text.family(&name, family);
            }
        }
        text.0
    }
}
