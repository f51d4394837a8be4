//! Metrics for a collector of OpenTelemetry.

use clap::Args;

/// Flags of the export.
#[derive(Debug, Clone, Args)]
pub struct OtlpConfig {
    /// Collector that metrics are sent to as OTLP/HTTP JSON, without its /v1/metrics, such as
    /// http://127.0.0.1:4318. None: nothing is sent.
    #[arg(long, env = "SOMMOS_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Milliseconds between two exports.
    #[arg(long, env = "SOMMOS_OTLP_INTERVAL_MS", default_value_t = 60_000)]
    pub otlp_interval_ms: u64,
}
