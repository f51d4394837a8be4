//! What happens on the shared queue, told here as if it had happened here: BullMQ keeps a stream
//! of events for each queue, and every server reads all of them.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use serde_json::Value;
use sommos_core::{
    jobs::{EventKind, JobId, Kind},
    time::Timestamp,
};

use super::{
    Bull, map,
    stream::{self, Entry},
};
use crate::queue::events::{Event, What};

/// Jobs whose attempts are followed, count. Of others the first attempt and no time is told.
const FOLLOWED_MAX: usize = 65_536;

/// What events before tell of a job that runs or will run again.
#[derive(Debug, Default, Clone)]
struct Seen {
    attempt: u32,
    /// When the attempt began, by Redis's clock.
    began_ms: u64,
    /// The attempt has failed; whether another would not have helped.
    failed: Option<bool>,
}

/// Reads the events of one queue.
struct Listener {
    bull: Arc<Bull>,
    queue: String,
    kind: Kind,
    seen: HashMap<String, Seen>,
}

impl Bull {
    /// Listens to a queue of jobs or tasks; ends only with its task.
    pub(super) async fn listen(self: Arc<Self>, queue: String, kind: Kind) {
        let last = self.newest_event(&queue).await;
        let mut listener = Listener {
            bull: Arc::clone(&self),
            queue: queue.clone(),
            kind,
            seen: HashMap::new(),
        };
        stream::listen(&self.options, &queue, last, |entry| listener.hear(entry)).await;
    }

    /// The id of the newest event when this server first connected: what happens after it is told.
    pub(super) async fn newest_event(&self, queue: &str) -> String {
        self.link.until_up(Duration::MAX).await;
        let heard_from = self.heard_from.lock();
        let heard_from = heard_from.unwrap_or_else(PoisonError::into_inner);
        // Not known only when the first connection was slow: all that is kept is told then.
        heard_from
            .get(queue)
            .map_or("0-0", String::as_str)
            .to_owned()
    }

    /// Stops the attempt at this job that runs here if its claim is gone.
    async fn check_claim(self: Arc<Self>, key: String) {
        let Some(token) = self.running.token(&key) else {
            return;
        };
        let lock = format!("{key}:lock");
        let held = self.link.ask(|conn| async move {
            let mut connection = conn.redis().connection();
            let held: Option<String> = redis::cmd("GET")
                .arg(&lock)
                .query_async(&mut connection)
                .await?;
            Ok(held)
        });
        // If Redis does not tell, the report will be refused.
        if let Ok(held) = held.await
            && held.as_deref() != Some(&*token)
        {
            self.running.stop(&key, Some(&token));
        }
    }
}

impl Listener {
    fn hear(&mut self, entry: &Entry) {
        let (Some(event), Some(job)) = (entry.text("event"), entry.text("jobId")) else {
            return;
        };
        match event {
            "added" => self.tell(job, EventKind::Queued),
            "active" => {
                let seen = self.follow(job);
                seen.attempt += 1;
                seen.began_ms = entry.at_ms;
                seen.failed = None;
                let attempt = seen.attempt;
                self.tell(job, EventKind::Started { attempt });
            }
            "progress" => {
                let data = entry
                    .text("data")
                    .and_then(|data| serde_json::from_str(data).ok());
                let percent = data.and_then(|data: Value| map::percent_of(&data));
                if let Some(percent) = percent.filter(|percent| *percent > 0) {
                    self.tell(job, EventKind::Progress(percent));
                }
            }
            "completed" => {
                let seen = self.seen.remove(job).unwrap_or_default();
                let run_ms = match seen.began_ms {
                    0 => 0,
                    began => entry.at_ms.saturating_sub(began),
                };
                let result_bytes = 0;
                self.tell(
                    job,
                    EventKind::Completed {
                        run_ms,
                        result_bytes,
                    },
                );
            }
            "failed" => self.failed(job, entry.text("failedReason").unwrap_or_default()),
            "waiting" => self.waits(job, entry.text("prev")),
            "delayed" => self.delayed(job, entry.number("delay").unwrap_or(0)),
            "stalled" => self.check(job),
            "sommosFailure" => self.noted(job, entry),
            _ => {}
        }
    }

    fn follow(&mut self, job: &str) -> &mut Seen {
        if self.seen.len() >= FOLLOWED_MAX {
            self.seen.clear();
        }
        self.seen.entry(job.to_owned()).or_default()
    }

    /// A worker of ours noted why an attempt failed; BullMQ's own event follows.
    fn noted(&mut self, job: &str, entry: &Entry) {
        self.follow(job).failed = Some(entry.text("final") == Some("1"));
        if let Some(limit_ms) = entry.number("limit") {
            self.tell(job, EventKind::TimedOut { limit_ms });
        }
        if let Some(delay_ms) = entry.number("delay") {
            let error = entry.text("error").unwrap_or_default().into();
            self.tell(job, EventKind::Retry { delay_ms, error });
        }
    }

    fn failed(&mut self, job: &str, reason: &str) {
        self.check(job);
        let seen = self.seen.remove(job).unwrap_or_default();
        if reason == map::CANCELLED {
            self.tell(job, EventKind::Cancelled);
            return;
        }
        let (error, lost) = map::reason_of(reason, seen.attempt);
        // Of workers elsewhere it is not known; most that fail for good have used their attempts.
        let dead = lost || !seen.failed.unwrap_or(false);
        self.tell(job, EventKind::Failed { error, dead });
    }

    fn waits(&mut self, job: &str, before: Option<&str>) {
        match before {
            // Put back by hand.
            Some("failed" | "completed") => {
                self.seen.remove(job);
                self.tell(job, EventKind::Queued);
            }
            // After a failure it was told already.
            Some("active") if self.follow(job).failed.take().is_none() => {
                self.tell(job, EventKind::Requeued);
            }
            _ => {}
        }
    }

    /// Either it was added with a delay or it failed and waits for its next attempt.
    fn delayed(&mut self, job: &str, due_ms: u64) {
        let Some(seen) = self.seen.get_mut(job).filter(|seen| seen.attempt > 0) else {
            return;
        };
        if seen.failed.take().is_none() {
            let due = Timestamp(due_ms);
            let delay_ms = due.ms_since(self.bull.now());
            let error = "an attempt failed".into();
            self.tell(job, EventKind::Retry { delay_ms, error });
        }
    }

    fn check(&self, job: &str) {
        let key = format!("{}:{job}", self.bull.options.base(&self.queue));
        if self.bull.running.token(&key).is_some() {
            tokio::spawn(Arc::clone(&self.bull).check_claim(key));
        }
    }

    fn tell(&self, job: &str, kind: EventKind) {
        let at = self.bull.now();
        let what = match job.parse::<JobId>() {
            Ok(id) if id.kind == self.kind => What::Job(id, kind),
            _ => {
                // Added elsewhere, under an id that only they know: told under that.
                let id = map::id_of(self.kind, &self.queue, job, at.0);
                let (seq, what) = (0, What::Job(id, kind));
                let event = Event { seq, at, what };
                let mut fields = event.fields();
                fields["id"] = Value::String(job.to_owned());
                What::Other(event.name(), fields)
            }
        };
        let events = &self.bull.local.0.shared.events;
        events.publish(std::iter::once((at, what)));
    }
}
