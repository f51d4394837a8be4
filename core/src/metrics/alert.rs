//! The alerts' state machine: inactive, pending, firing, and resolved by recovery or by hand.

use core::fmt::Write as _;
use std::collections::VecDeque;

use serde::Serialize;

use super::{AlertName, AlertRule, MonitorError, Severity, rounded};
use crate::time::Timestamp;

/// Resolved alerts that are remembered.
pub(super) const HISTORY_MAX: usize = 256;
/// Longest id: `alert_`, 20 digits, `_`, 32 hex digits.
pub(super) const ID_BYTES_MAX: usize = 59;
/// Longest message, with room.
pub(super) const MESSAGE_BYTES_MAX: usize = 160;

/// What an alert ended by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Resolution {
    /// Somebody resolved it.
    Manual,
    /// The reading went back.
    Recovery,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Alert {
    /// `alert_<ms>_<32 hex>`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: Box<str>,
    /// The rule that raised it.
    #[serde(rename = "type")]
    pub name: AlertName,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, for people.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub message: Box<str>,
    /// The reading that raised it, in the unit below.
    pub value: f64,
    /// The rule's threshold, in the unit below.
    pub threshold: f64,
    /// The unit of the two.
    pub unit: &'static str,
    /// When it was raised, Unix milliseconds.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub timestamp: Timestamp,
    /// Whether it is over.
    pub resolved: bool,
    /// When it was resolved, Unix milliseconds.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub resolved_at: Option<Timestamp>,
    /// What resolved it.
    pub resolution: Option<Resolution>,
}

/// What an evaluation changed.
#[derive(Debug, Clone, PartialEq)]
pub enum AlertEvent {
    /// An alert was raised.
    Triggered(Alert),
    /// An alert ended by recovery.
    Resolved(Alert),
}

/// Where a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AlertState {
    /// Nothing is wrong.
    #[serde(rename = "ok")]
    Inactive,
    /// Alarming, but not for long enough.
    Pending,
    /// Its alert is open.
    Firing,
    /// Its alert was resolved by hand and the reading has not recovered yet.
    Silenced,
    /// It is not looked at.
    Disabled,
}

/// One rule and where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RuleStatus {
    /// The rule.
    pub rule: AlertRule,
    /// Where it stands.
    pub state: AlertState,
    /// The last reading; null when unknown or of too few observations.
    pub value: Option<f64>,
}

/// What a rule sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reading {
    /// Nothing: not measured, or too long ago.
    Unknown,
    /// A value made of so many observations.
    Known {
        /// In the rule's unit.
        value: f64,
        /// Requests, lookups, queries or system samples.
        samples: u64,
    },
}

#[derive(Debug)]
pub(super) enum Phase {
    Inactive,
    Pending {
        since: Timestamp,
    },
    Firing {
        alert: Alert,
        well_since: Option<Timestamp>,
    },
    Silenced {
        well_since: Option<Timestamp>,
    },
}

#[derive(Debug)]
pub(super) struct Watch {
    pub(super) rule: AlertRule,
    pub(super) phase: Phase,
    pub(super) value: Option<f64>,
}

/// Milliseconds since a remembered time, which is moved when the clock was set back before it.
fn elapsed(since: &mut Timestamp, now: Timestamp) -> u64 {
    *since = now.min(*since);
    now.ms_since(*since)
}

/// Whether the reading has been well for the rule's time; forgets it when it is not.
fn settled(well_since: &mut Option<Timestamp>, well: bool, now: Timestamp, keep_ms: u64) -> bool {
    if !well {
        *well_since = None;
        return false;
    }
    elapsed(well_since.get_or_insert(now), now) >= keep_ms
}

impl Watch {
    fn step(
        &mut self,
        now: Timestamp,
        reading: Reading,
        entropy: &mut dyn FnMut() -> [u8; 16],
    ) -> Option<AlertEvent> {
        let rule = self.rule;
        let (value, alarming, well) = match reading {
            Reading::Unknown => (None, false, None),
            Reading::Known { samples, .. } if samples < rule.min_samples => {
                (None, false, Some(true))
            }
            Reading::Known { value, .. } => (
                Some(value),
                rule.alarming(value),
                Some(rule.recovered(value)),
            ),
        };
        self.value = value;
        match (&mut self.phase, well) {
            (Phase::Firing { alert, well_since }, Some(well)) => {
                if settled(well_since, well, now, rule.keep_ms) {
                    let alert = alert.clone().resolved(now, Resolution::Recovery);
                    self.phase = Phase::Inactive;
                    return Some(AlertEvent::Resolved(alert));
                }
            }
            (Phase::Silenced { well_since }, Some(well)) => {
                if settled(well_since, well, now, rule.keep_ms) {
                    self.phase = Phase::Inactive;
                }
            }
            (Phase::Inactive | Phase::Pending { .. }, _) if !alarming => {
                self.phase = Phase::Inactive;
            }
            (Phase::Inactive | Phase::Pending { .. }, _) => {
                return self.alarm(now, value.unwrap_or(0.0), entropy);
            }
            (_, None) => {}
        }
        None
    }

    fn alarm(
        &mut self,
        now: Timestamp,
        value: f64,
        entropy: &mut dyn FnMut() -> [u8; 16],
    ) -> Option<AlertEvent> {
        let mut since = match self.phase {
            Phase::Pending { since } => since,
            _ => now,
        };
        if elapsed(&mut since, now) < self.rule.for_ms {
            self.phase = Phase::Pending { since };
            return None;
        }
        let alert = Alert::new(now, &self.rule, value, entropy());
        self.phase = Phase::Firing {
            alert: alert.clone(),
            well_since: None,
        };
        Some(AlertEvent::Triggered(alert))
    }

    fn state(&self) -> AlertState {
        match self.phase {
            _ if !self.rule.enabled => AlertState::Disabled,
            Phase::Inactive => AlertState::Inactive,
            Phase::Pending { .. } => AlertState::Pending,
            Phase::Firing { .. } => AlertState::Firing,
            Phase::Silenced { .. } => AlertState::Silenced,
        }
    }
}

impl Alert {
    fn new(now: Timestamp, rule: &AlertRule, value: f64, entropy: [u8; 16]) -> Self {
        let value = rounded(value, 2);
        let (what, unit) = rule.name.words();
        let side = if rule.name.low_is_bad() {
            "under"
        } else {
            "over"
        };
        let threshold = rule.threshold;
        let mut message = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            message,
            "The {what} is {value}{unit}, {side} {threshold}{unit}"
        );
        Self {
            id: format!("alert_{}_{:032x}", now.0, u128::from_be_bytes(entropy)).into(),
            name: rule.name,
            severity: rule.severity,
            message: super::clipped(&message, MESSAGE_BYTES_MAX),
            value,
            threshold,
            unit: rule.name.unit(),
            timestamp: now,
            resolved: false,
            resolved_at: None,
            resolution: None,
        }
    }

    fn resolved(mut self, now: Timestamp, resolution: Resolution) -> Self {
        self.resolved = true;
        self.resolved_at = Some(now);
        self.resolution = Some(resolution);
        self
    }
}

/// Every rule, and the alerts that ended.
#[derive(Debug)]
pub(super) struct Alerts {
    pub(super) watches: Vec<Watch>,
    pub(super) ended: VecDeque<Alert>,
}

impl Alerts {
    /// Heap bytes at most.
    pub(super) const BYTES_MAX: usize = 2
        * (AlertName::ALL.len() * size_of::<Watch>()
            + (HISTORY_MAX + AlertName::ALL.len())
                * (size_of::<Alert>() + ID_BYTES_MAX + MESSAGE_BYTES_MAX));

    pub(super) fn new(rules: &[AlertRule]) -> Self {
        let watch = |&rule: &AlertRule| Watch {
            rule,
            phase: Phase::Inactive,
            value: None,
        };
        Self {
            watches: rules.iter().map(watch).collect(),
            ended: VecDeque::new(),
        }
    }

    /// Lets so many milliseconds pass in which nothing was seen: they count for no rule.
    pub(super) fn pass_over(&mut self, ms: u64) {
        for watch in &mut self.watches {
            let (Phase::Pending { since }
            | Phase::Firing {
                well_since: Some(since),
                ..
            }
            | Phase::Silenced {
                well_since: Some(since),
            }) = &mut watch.phase
            else {
                continue;
            };
            *since = since.plus_ms(ms);
        }
    }

    /// One step of every rule.
    pub(super) fn evaluate(
        &mut self,
        now: Timestamp,
        read: impl Fn(AlertName) -> Reading,
        entropy: &mut dyn FnMut() -> [u8; 16],
    ) -> Vec<AlertEvent> {
        let mut events = Vec::new();
        for watch in self.watches.iter_mut().filter(|watch| watch.rule.enabled) {
            events.extend(watch.step(now, read(watch.rule.name), entropy));
        }
        for event in &events {
            if let AlertEvent::Resolved(alert) = event {
                remember(&mut self.ended, alert.clone());
            }
        }
        events
    }

    /// Resolves an alert by hand; one that is resolved already stays as it is.
    pub(super) fn resolve(&mut self, now: Timestamp, id: &str) -> Result<Alert, MonitorError> {
        for watch in &mut self.watches {
            let Phase::Firing { alert, well_since } = &watch.phase else {
                continue;
            };
            if &*alert.id == id {
                let alert = alert.clone().resolved(now, Resolution::Manual);
                watch.phase = Phase::Silenced {
                    well_since: *well_since,
                };
                remember(&mut self.ended, alert.clone());
                return Ok(alert);
            }
        }
        let ended = self.ended.iter().find(|alert| &*alert.id == id);
        ended
            .cloned()
            .ok_or_else(|| MonitorError::UnknownAlert(super::clipped(id, 64).into()))
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Alert> {
        self.watches.iter().filter_map(|watch| match &watch.phase {
            Phase::Firing { alert, .. } => Some(alert),
            _ => None,
        })
    }

    pub(super) fn ended(&self) -> impl Iterator<Item = &Alert> {
        self.ended.iter()
    }

    /// The thresholds of the rules that are enabled.
    pub(super) fn thresholds(&self) -> Vec<(AlertName, f64)> {
        let rules = self.watches.iter().map(|watch| &watch.rule);
        let enabled = rules.filter(|rule| rule.enabled);
        enabled.map(|rule| (rule.name, rule.threshold)).collect()
    }

    pub(super) fn statuses(&self) -> Vec<RuleStatus> {
        let status = |watch: &Watch| RuleStatus {
            rule: watch.rule,
            state: watch.state(),
            value: watch.value.map(|value| rounded(value, 2)),
        };
        self.watches.iter().map(status).collect()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let text = |alert: &Alert| alert.id.len() + alert.message.len();
        self.watches.capacity() * size_of::<Watch>()
            + self.ended.capacity() * size_of::<Alert>()
            + self.open().chain(self.ended()).map(text).sum::<usize>()
    }
}

fn remember(ended: &mut VecDeque<Alert>, alert: Alert) {
    if ended.len() == HISTORY_MAX {
        ended.pop_front();
    }
    ended.push_back(alert);
}
