//! Alerts: which rules, and who is told.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::{Map, Value, json};
use sommos_core::metrics::{AlertRule, RuleSettings, Thresholds};

/// Flags of alerts.
#[derive(Debug, Clone, Args)]
pub struct AlertConfig {
    /// JSON file of changes to the alert rules: a list of {type, threshold, clear, forMs, keepMs,
    /// severity, minSamples, enabled}, each field but the type optional.
    #[arg(long, env = "SOMMOS_ALERT_RULES_FILE")]
    pub alert_rules_file: Option<PathBuf>,
    /// One change to an alert rule: TYPE.FIELD=VALUE, such as HIGH_CPU.threshold=90 or
    /// DATABASE_SLOW_QUERIES.enabled=false; repeatable. It comes after the file's.
    #[arg(long = "alert-rule", env = "SOMMOS_ALERT_RULES", value_delimiter = ',')]
    pub alert_rule: Vec<String>,
    /// Address that alerts are posted to as JSON, http or https. None: nobody is told.
    #[arg(long, env = "SOMMOS_ALERT_WEBHOOK", hide_env_values = true)]
    pub alert_webhook: Option<String>,
    /// Milliseconds that the webhook gets to answer.
    #[arg(long, env = "SOMMOS_ALERT_WEBHOOK_TIMEOUT_MS", default_value_t = 5000)]
    pub alert_webhook_timeout_ms: u64,
    /// Attempts for one message; between them a second, doubled up to five minutes, ± 50 %.
    #[arg(long, env = "SOMMOS_ALERT_WEBHOOK_ATTEMPTS", default_value_t = 12)]
    pub alert_webhook_attempts: u32,
    /// Messages that may wait; more are dropped and counted.
    #[arg(long, env = "SOMMOS_ALERT_WEBHOOK_QUEUE", default_value_t = 1000)]
    pub alert_webhook_queue: u64,
}

impl AlertConfig {
    /// Checks the ranges of the webhook.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            (1..=600_000).contains(&self.alert_webhook_timeout_ms),
            "--alert-webhook-timeout-ms must be 1 to 600000"
        );
        ensure!(
            (1..=1000).contains(&self.alert_webhook_attempts),
            "--alert-webhook-attempts must be 1 to 1000"
        );
        ensure!(
            (1..=100_000).contains(&self.alert_webhook_queue),
            "--alert-webhook-queue must be 1 to 100000"
        );
        Ok(())
    }

    /// The rules with the changes of the file and the flags.
    ///
    /// # Errors
    /// Names the file or flag and what is wrong with it.
    pub(crate) fn rules(&self, thresholds: &Thresholds) -> anyhow::Result<Vec<AlertRule>> {
        let mut changes = Map::new();
        if let Some(path) = &self.alert_rules_file {
            let place = || format!("--alert-rules-file {}", path.display());
            let text = std::fs::read(path).with_context(place)?;
            let settings = RuleSettings::parse(&text).with_context(place)?;
            thresholds.rules_with(&settings).with_context(place)?;
            let list: Vec<Map<String, Value>> = serde_json::from_slice(&text)?;
            for fields in list {
                let name = fields.get("type").and_then(Value::as_str);
                changes.insert(name.unwrap_or_default().to_owned(), fields.into());
            }
        }
        for text in &self.alert_rule {
            let place = || format!("--alert-rule {text:?}");
            let (rule, field, value) = parse(text).with_context(place)?;
            let fields = changes
                .entry(rule)
                .or_insert_with(|| json!({"type": rule}))
                .as_object_mut();
            if let Some(fields) = fields {
                fields.insert(field.to_owned(), value);
            }
            // Each alone, so that the message names the flag that is wrong.
            settings(&changes).with_context(place)?;
        }
        let settings = settings(&changes).context("--alert-rule")?;
        thresholds.rules_with(&settings).context("--alert-rule")
    }
}

fn settings(changes: &Map<String, Value>) -> anyhow::Result<Vec<RuleSettings>> {
    let list: Vec<&Value> = changes.values().collect();
    Ok(RuleSettings::parse(&serde_json::to_vec(&list)?)?)
}

/// A flag's rule, field and value.
fn parse(text: &str) -> anyhow::Result<(&str, &str, Value)> {
    let parts = text.split_once('=').and_then(|(name, value)| {
        let (rule, field) = name.split_once('.')?;
        // What is neither a number nor true or false is a word.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        Some((rule, field, value))
    });
    parts.context("expected TYPE.FIELD=VALUE, such as HIGH_CPU.threshold=90")
}

#[cfg(test)]
mod tests {
    use sommos_core::metrics::Severity;

    use super::*;

    fn changed(flags: &[&str], file: Option<PathBuf>) -> anyhow::Result<Vec<AlertRule>> {
        let mut config = crate::config::Config::for_tests("/nowhere".into()).alerts;
        config.alert_rules_file = file;
        config.alert_rule = flags.iter().map(|&flag| flag.to_owned()).collect();
        config.rules(&Thresholds::default())
    }

    #[test]
    fn flags_come_after_the_file() {
        let path = std::env::temp_dir().join(format!("sommos-rules-{}.json", std::process::id()));
        let text = r#"[{"type":"HIGH_CPU","threshold":60,"forMs":5},
                       {"type":"CACHE_LOW_HIT_RATE","enabled":false}]"#;
        std::fs::write(&path, text).unwrap();
        let flags = ["HIGH_CPU.threshold=70", "HIGH_CPU.severity=critical"];
        let rules = changed(&flags, Some(path.clone())).unwrap();
        std::fs::remove_file(path).unwrap();
        assert!(!rules[4].enabled && rules[5].enabled);
        let cpu = rules[0];
        assert_eq!((cpu.threshold, cpu.for_ms), (70.0, 5));
        assert_eq!(cpu.severity, Severity::Critical);
    }

    #[test]
    fn a_wrong_flag_is_named() {
        for flag in [
            "HIGH_CPU",
            "HIGH_CPU=1",
            "HIGH_TIDE.threshold=1",
            "HIGH_CPU.threshold=much",
            "HIGH_CPU.treshold=1",
        ] {
            let error = format!("{:#}", changed(&[flag], None).unwrap_err());
            assert!(error.contains(flag), "{error}");
        }
        let error = changed(&["HIGH_CPU.clear=99"], None).unwrap_err();
        assert!(format!("{error:#}").contains("clear"), "{error:#}");
        let gone = changed(&[], Some("/nowhere/rules.json".into())).unwrap_err();
        assert!(gone.to_string().contains("rules.json"), "{gone}");
    }
}
