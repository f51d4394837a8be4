//! Alert rules as people write them: what differs from the defaults.

use serde::{Deserialize, Serialize};

use super::{AlertName, AlertRule, MonitorError, Severity, Thresholds};

/// What one rule has instead of its default. In JSON: `{"type": "HIGH_CPU", "threshold": 90,
/// "clear": 70, "forMs": 30000, "severity": "critical"}`; every field but the type may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RuleSettings {
    /// Which rule.
    #[serde(rename = "type")]
    pub name: AlertName,
    /// Whether it is looked at. Default true.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// The alarming value, exclusive, in the rule's unit.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// The value at which it is well again, in the rule's unit: at or below it, for the cache's hit
    /// rate at or above it. Default: a tenth of the threshold away from it.
    #[serde(default)]
    pub clear: Option<f64>,
    /// How long the reading must be alarming, milliseconds.
    #[serde(default)]
    pub for_ms: Option<u64>,
    /// How long it must be well again, milliseconds.
    #[serde(default)]
    pub keep_ms: Option<u64>,
    /// How bad it is.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// Requests, lookups, queries or system samples behind a reading that counts.
    #[serde(default)]
    pub min_samples: Option<u64>,
}

impl RuleSettings {
    /// Reads a JSON array of settings.
    ///
    /// # Errors
    /// [`MonitorError::InvalidSettings`] with the place of what is wrong.
    pub fn parse(json: &[u8]) -> Result<Vec<Self>, MonitorError> {
        let mut from = serde_json::Deserializer::from_slice(json);
        let read: Result<Vec<Self>, _> = serde_path_to_error::deserialize(&mut from);
        let settings = read.map_err(|error| MonitorError::InvalidSettings(error.to_string()))?;
        from.end()
            .map_err(|error| MonitorError::InvalidSettings(error.to_string()))?;
        Ok(settings)
    }

    fn apply(&self, rule: &mut AlertRule) -> Result<(), MonitorError> {
        let wrong = |field, expected| {
            let rule = self.name.as_str();
            Err(MonitorError::InvalidRule {
                rule,
                field,
                expected,
            })
        };
        if let Some(threshold) = self.threshold {
            rule.threshold = threshold;
            rule.hysteresis = threshold / 10.0;
        }
        if let Some(clear) = self.clear {
            if !clear.is_finite() || clear < 0.0 {
                return wrong("clear", "a finite number of at least 0");
            }
            rule.hysteresis = if self.name.low_is_bad() {
                clear - rule.threshold
            } else {
                rule.threshold - clear
            };
            if rule.hysteresis < 0.0 {
                let expected = match self.name.low_is_bad() {
                    true => "at least the threshold",
                    false => "at most the threshold",
                };
                return wrong("clear", expected);
            }
        }
        rule.enabled = self.enabled.unwrap_or(rule.enabled);
        rule.for_ms = self.for_ms.unwrap_or(rule.for_ms);
        rule.keep_ms = self.keep_ms.unwrap_or(rule.keep_ms);
        rule.severity = self.severity.unwrap_or(rule.severity);
        rule.min_samples = self.min_samples.unwrap_or(rule.min_samples);
        rule.check()
    }
}

impl Thresholds {
    /// The rules with these thresholds, changed as told.
    ///
    /// # Errors
    /// [`MonitorError::DuplicateRule`], and [`MonitorError::InvalidRule`] for numbers that cannot
    /// work.
    pub fn rules_with(&self, settings: &[RuleSettings]) -> Result<Vec<AlertRule>, MonitorError> {
        let mut rules = self.rules();
        for (i, setting) in settings.iter().enumerate() {
            if settings[..i].iter().any(|other| other.name == setting.name) {
                return Err(MonitorError::DuplicateRule(setting.name.as_str()));
            }
            for rule in rules.iter_mut().filter(|rule| rule.name == setting.name) {
                setting.apply(rule)?;
            }
        }
        Ok(rules)
    }
}
