//! Tells a webhook of alerts: one message after the other, each until it is taken or given up.
//!
//! Messages wait in monitoring's database, written in the transaction of the sample that raised
//! them: after a restart they are sent as if nothing had happened. One that was taken just before a
//! crash is sent again, with the same `idempotency-key`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::header::HeaderName;
use sommos_core::metrics::{AlertEvent, Answer, Delivery, DeliveryPolicy, NextStep};
use tokio::sync::Notify;

use super::store::{Queued, Store};
use crate::{app::App, config::Config, push::Push};

/// Pause after the database could not be read or written.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What was sent so far.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) delivered: AtomicU64,
    /// Attempts that were answered with a failure, or not at all.
    pub(super) failed_attempts: AtomicU64,
    /// Messages that nobody took.
    pub(super) given_up: AtomicU64,
    /// Messages for which there was no room.
    pub(super) dropped: AtomicU64,
}

/// The webhook.
pub(super) struct Webhook {
    push: Push,
    policy: DeliveryPolicy,
    /// Messages that may wait.
    queue_max: u64,
    pub(super) counters: Counters,
    wake: Notify,
}

impl Webhook {
    /// None when no address is configured.
    pub(super) fn new(config: &Config) -> anyhow::Result<Option<Self>> {
        let alerts = &config.alerts;
        let Some(url) = &alerts.alert_webhook else {
            return Ok(None);
        };
        let timeout = Duration::from_millis(alerts.alert_webhook_timeout_ms);
        let push = Push::new(url, timeout).map_err(|error| error.context("--alert-webhook"))?;
        Ok(Some(Self {
            push,
            policy: DeliveryPolicy::new(alerts.alert_webhook_attempts),
            queue_max: alerts.alert_webhook_queue,
            counters: Counters::default(),
            wake: Notify::new(),
        }))
    }

    /// The messages of these events.
    pub(super) fn messages(events: &[AlertEvent]) -> Vec<Delivery> {
        let encode = |event: &AlertEvent| match event.delivery() {
            Ok(message) => Some(message),
            Err(error) => {
                tracing::error!(%error, "an alert has no message");
                None
            }
        };
        events.iter().filter_map(encode).collect()
    }

    /// Whether one more may wait beside `waiting`; counts and logs one that may not.
    pub(super) fn admits(&self, waiting: u64, message: &Delivery) -> bool {
        if waiting < self.queue_max {
            return true;
        }
        self.counters.dropped.fetch_add(1, Relaxed);
        tracing::error!(key = message.key, waiting, "no room for a webhook message");
        false
    }

    /// Messages were written.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    async fn attempt(&self, message: &Queued, seed: u64) -> NextStep {
        let attempt = message.attempts.saturating_add(1);
        let key = (HeaderName::from_static("idempotency-key"), &*message.key);
        let answer = match self.push.post(message.body.clone(), Some(key)).await {
            Ok(status) => Answer::Status(status),
            Err(error) => {
                tracing::debug!(%error, "webhook");
                Answer::None
            }
        };
        let step = self.policy.after(attempt, answer, seed);
        let counters = &self.counters;
        match step {
            NextStep::Done => {
                counters.delivered.fetch_add(1, Relaxed);
                tracing::info!(key = message.key, attempt, "webhook told");
            }
            NextStep::Again(delay_ms) => {
                counters.failed_attempts.fetch_add(1, Relaxed);
                let key = &message.key;
                tracing::warn!(key, attempt, ?answer, delay_ms, "webhook failed");
            }
            NextStep::GiveUp => {
                counters.failed_attempts.fetch_add(1, Relaxed);
                counters.given_up.fetch_add(1, Relaxed);
                tracing::error!(key = message.key, attempt, ?answer, "webhook given up");
            }
        }
        step
    }
}

/// Sends for as long as the server runs; ends at once without a webhook.
pub async fn deliver(app: Arc<App>) {
    let Some(webhook) = app.monitoring.webhook.as_ref() else {
        return;
    };
    loop {
        let next = match with_store(&app, |store| store.next_delivery()).await {
            Some(next) => next,
            None => {
                tokio::time::sleep(STORE_PAUSE).await;
                continue;
            }
        };
        let Some(message) = next else {
            webhook.wake.notified().await;
            continue;
        };
        let wait = message.due.ms_since(app.now());
        if wait > 0 {
            // No longer than the longest wait, should the clock have been set back.
            let longest = webhook.policy.backoff.max_ms;
            tokio::time::sleep(Duration::from_millis(wait.min(longest))).await;
        }
        let mut seed = [0; 8];
        // Without randomness the wait is not spread.
        let _ = getrandom::fill(&mut seed);
        let step = webhook.attempt(&message, u64::from_le_bytes(seed)).await;
        let due = app.now();
        let written = with_store(&app, move |store| match step {
            NextStep::Again(delay_ms) => store.postpone(&message, due.plus_ms(delay_ms)),
            NextStep::Done | NextStep::GiveUp => store.forget(&message),
        });
        if written.await.is_none() {
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }
}

/// Asks the database off the runtime's threads; none when it failed, which is logged and counted.
async fn with_store<T: Send + 'static>(
    app: &Arc<App>,
    ask: impl FnOnce(&mut Store) -> Result<T, super::StoreError> + Send + 'static,
) -> Option<T> {
    let app = Arc::clone(app);
    let asked = tokio::task::spawn_blocking(move || app.monitoring.keep(|store, _| ask(store)));
    asked.await.ok().flatten()
}
