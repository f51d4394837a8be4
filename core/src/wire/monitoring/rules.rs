//! Alerts that ended, and the rules that raise them.

use serde::Serialize;

use crate::{
    metrics::{Alert, AlertName, AlertState, Monitor, RuleStatus, Severity},
    wire::{ApiError, decode, envelope},
};

/// Alerts that one answer has when `limit` is absent.
const LIMIT_DEFAULT: u64 = 100;

/// The answer of GET /monitoring/alerts/history.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertHistoryResponse {
    /// Alerts that ended, by recovery or by hand, the last first.
    pub alerts: Vec<Alert>,
    /// How many are remembered, at most 256.
    pub total: usize,
}

/// One alert rule and where it stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RuleResponse {
    /// The type of the alerts that it raises.
    #[serde(rename = "type")]
    pub name: AlertName,
    /// What it compares: a figure of the system, or of the summary's windows.
    pub metric: &'static str,
    /// The unit of the threshold, of clear and of the value.
    pub unit: &'static str,
    /// The alarming value, exclusive, in the rule's unit.
    pub threshold: f64,
    /// The value at which it is well again, in the rule's unit; between the two nothing changes.
    pub clear: f64,
    /// How long the reading must be alarming until an alert is raised, milliseconds.
    pub for_ms: u64,
    /// How long it must be well again until the alert ends, milliseconds.
    pub keep_ms: u64,
    /// Requests, lookups, queries or system samples behind a reading that counts.
    pub min_samples: u64,
    /// How bad its alerts are.
    pub severity: Severity,
    /// Where it stands. Silenced: its alert was resolved by hand, and none is raised until the
    /// reading has recovered.
    pub status: AlertState,
    /// The last reading, in the rule's unit; null when unknown or of too few observations.
    pub value: Option<f64>,
}

impl From<RuleStatus> for RuleResponse {
    fn from(RuleStatus { rule, state, value }: RuleStatus) -> Self {
        Self {
            name: rule.name,
            metric: rule.name.metric(),
            unit: rule.name.unit(),
            threshold: rule.threshold,
            clear: rule.clear(),
            for_ms: rule.for_ms,
            keep_ms: rule.keep_ms,
            min_samples: rule.min_samples,
            severity: rule.severity,
            status: state,
            value,
        }
    }
}

/// The answer of GET /monitoring/rules.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulesResponse {
    /// Every rule.
    pub rules: Vec<RuleResponse>,
}

/// The alerts that ended, newest first.
///
/// # Errors
/// 400 naming the parameter.
pub fn alert_history(monitor: &Monitor, query: &str) -> Result<Vec<u8>, ApiError> {
    let most = Monitor::ALERT_HISTORY_MAX as u64;
    let limit = decode::query_number(query, "limit", 1..=most, "alerts", LIMIT_DEFAULT)?;
    let mut alerts = monitor.alert_history();
    let total = alerts.len();
    alerts.reverse();
    alerts.truncate(limit as usize);
    envelope::data(&AlertHistoryResponse { alerts, total })
}

/// Every rule and where it stands.
///
/// # Errors
/// `INTERNAL`, should a type of ours fail to serialize.
pub fn rules(monitor: &Monitor) -> Result<Vec<u8>, ApiError> {
    let rules = monitor.rules().into_iter().map(RuleResponse::from);
    envelope::data(&RulesResponse {
        rules: rules.collect(),
    })
}
