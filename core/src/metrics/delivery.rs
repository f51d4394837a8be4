//! Telling others of alerts: what is sent, and when it is tried again.

use serde::Serialize;

use super::{Alert, AlertEvent};
use crate::jobs::Backoff;

/// One message of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The same for every attempt: the alert's id and the event.
    pub key: String,
    /// JSON: `event`, `key` and the `alert`.
    pub body: Vec<u8>,
}

#[derive(Serialize)]
struct Message<'a> {
    event: &'a str,
    key: &'a str,
    alert: &'a Alert,
}

impl AlertEvent {
    /// Its name as an event.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Triggered(_) => "alertTriggered",
            Self::Resolved(_) => "alertResolved",
        }
    }

    /// The alert.
    #[must_use]
    pub const fn alert(&self) -> &Alert {
        let (Self::Triggered(alert) | Self::Resolved(alert)) = self;
        alert
    }

    /// The message that tells of it.
    ///
    /// # Errors
    /// None today: numbers of alerts are finite.
    pub fn delivery(&self) -> Result<Delivery, serde_json::Error> {
        let (event, alert) = (self.name(), self.alert());
        let key = format!("{}:{event}", alert.id);
        let body = serde_json::to_vec(&Message {
            event,
            key: &key,
            alert,
        })?;
        Ok(Delivery { key, body })
    }
}

/// How an attempt to deliver ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The receiver answered with this status.
    Status(u16),
    /// It did not answer in time, or could not be reached.
    None,
}

/// What to do after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// It was taken.
    Done,
    /// Try again after so many milliseconds.
    Again(u64),
    /// It will not be taken, or was tried often enough.
    GiveUp,
}

/// How deliveries are tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeliveryPolicy {
    /// Attempts in all, at least 1.
    pub attempts_max: u32,
    /// The wait between them.
    pub backoff: Backoff,
}

impl DeliveryPolicy {
    /// So many attempts; a second, doubled up to five minutes, ± 50 % between them.
    #[must_use]
    pub const fn new(attempts_max: u32) -> Self {
        Self {
            attempts_max,
            backoff: Backoff {
                base_ms: 1000,
                max_ms: 300_000,
                jitter: 0.5,
            },
        }
    }

    /// What follows attempt number `attempt` (from 1). 2xx is taken; 408, 425, 429, 5xx and silence
    /// may be otherwise next time; anything else would be the same again. The same seed gives the
    /// same wait.
    #[must_use]
    pub fn after(&self, attempt: u32, answer: Answer, seed: u64) -> NextStep {
        match answer {
            Answer::Status(200..=299) => NextStep::Done,
            Answer::Status(408 | 425 | 429 | 500..=599) | Answer::None
                if attempt < self.attempts_max =>
            {
                NextStep::Again(self.backoff.delay_ms(attempt, seed))
            }
            _ => NextStep::GiveUp,
        }
    }
}
