//! Live events, with a bounded past for those who come back.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};
use sommos_core::{
    batch::{BatchEvent, BatchEventKind},
    jobs::{BatchId, EventKind, JobId, Kind},
    time::Timestamp,
};
use tokio::sync::broadcast;

/// Something that happened, after it was committed.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its number: the Last-Event-ID. Grows by one within a run of the server.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// The subject and what happened to it.
#[derive(Debug, Clone)]
pub enum What {
    /// Of a job or task.
    Job(JobId, EventKind),
    /// Of a batch.
    Batch(BatchId, BatchEventKind),
    /// Of another part of the server, announced through the queue so that all events share one
    /// numbering: its name and its fields.
    Other(&'static str, Value),
}

impl Event {
    /// SommOS's name of the event.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match &self.what {
            What::Job(id, kind) => {
                let task = id.kind == Kind::Task;
                let pick = |job, of_task| if task { of_task } else { job };
                match kind {
                    EventKind::Queued | EventKind::Requeued => pick("jobQueued", "taskQueued"),
                    EventKind::Started { .. } => pick("jobStarted", "taskStarted"),
                    EventKind::TimedOut { .. } => pick("jobTimeout", "taskTimeout"),
                    EventKind::Progress(_) => pick("jobProgress", "taskProgress"),
                    EventKind::Retry { .. } => pick("jobRetry", "taskRetry"),
                    EventKind::Completed { .. } => pick("jobCompleted", "taskCompleted"),
                    EventKind::Failed { .. } => pick("jobFailed", "taskFailed"),
                    EventKind::Cancelled => pick("jobCancelled", "taskCancelled"),
                }
            }
            What::Other(name, _) => name,
            What::Batch(_, kind) => match kind {
                BatchEventKind::Queued => "batchQueued",
                BatchEventKind::Started => "batchStarted",
                BatchEventKind::Progress { .. } => "batchProgress",
                BatchEventKind::Ended(status) => match status {
                    sommos_core::jobs::Status::Failed => "batchFailed",
                    sommos_core::jobs::Status::Cancelled => "batchCancelled",
                    _ => "batchCompleted",
                },
            },
        }
    }

    /// Its fields for the wire, the id among them.
    #[must_use]
    pub fn fields(&self) -> Value {
        let mut value = match &self.what {
            What::Job(_, EventKind::Started { attempt }) => json!({"attempt": attempt}),
            What::Job(_, EventKind::TimedOut { limit_ms }) => json!({"timeout": limit_ms}),
            What::Job(_, EventKind::Progress(percent)) => json!({"progress": percent}),
            What::Job(_, EventKind::Retry { delay_ms, error }) => {
                json!({"delay": delay_ms, "error": error})
            }
            What::Job(_, EventKind::Completed { run_ms, .. }) => json!({"processingTime": run_ms}),
            What::Job(_, EventKind::Failed { error, dead }) => {
                json!({"error": error, "dead": dead})
            }
            What::Batch(
                _,
                BatchEventKind::Progress {
                    percent,
                    processed_items,
                },
            ) => {
                json!({"progress": percent, "processedItems": processed_items})
            }
            What::Batch(_, BatchEventKind::Ended(status)) => json!({"status": status}),
            What::Job(..) | What::Batch(..) => json!({}),
            What::Other(_, fields) => fields.clone(),
        };
        if let Some(object) = value.as_object_mut() {
            let id = match &self.what {
                What::Job(id, _) => Some(id.to_string()),
                What::Batch(id, _) => Some(id.to_string()),
                What::Other(..) => None,
            };
            if let Some(id) = id {
                object.insert("id".into(), Value::String(id));
            }
            object.insert("timestamp".into(), self.at.0.into());
        }
        value
    }
}

/// What a subscriber gets: the past after the id it knows, then the present.
pub struct Subscription {
    /// Events after the given one that are still kept.
    pub past: Vec<Arc<Event>>,
    /// Whether some after the given one are no longer kept.
    pub gap: bool,
    /// Events from now on.
    pub live: broadcast::Receiver<Arc<Event>>,
}

struct Ring {
    kept: VecDeque<Arc<Event>>,
    next: u64,
}

pub(super) struct Events {
    ring: Mutex<Ring>,
    live: broadcast::Sender<Arc<Event>>,
    max: usize,
}

impl Events {
    pub(super) fn new(max: usize) -> Self {
        let max = max.max(1);
        let ring = Ring {
            kept: VecDeque::with_capacity(max),
            next: 1,
        };
        Self {
            ring: Mutex::new(ring),
            live: broadcast::channel(max).0,
            max,
        }
    }

    pub(super) fn publish(&self, events: impl Iterator<Item = (Timestamp, What)>) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, what) in events {
            let event = Arc::new(Event {
                seq: ring.next,
                at,
                what,
            });
            ring.next += 1;
            if ring.kept.len() == self.max {
                ring.kept.pop_front();
            }
            ring.kept.push_back(Arc::clone(&event));
            // No subscriber is no error.
            let _ = self.live.send(event);
        }
    }

    pub(super) fn subscribe(&self, after: Option<u64>) -> Subscription {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.live.subscribe();
        let Some(after) = after else {
            return Subscription {
                past: Vec::new(),
                gap: false,
                live,
            };
        };
        let first = ring.kept.front().map_or(ring.next, |event| event.seq);
        // An id from before a restart may be ahead of ours: the past is then unknown.
        let gap = after + 1 < first || after >= ring.next;
        let after = if after >= ring.next { 0 } else { after };
        let past = ring
            .kept
            .iter()
            .filter(|event| event.seq > after)
            .cloned()
            .collect();
        Subscription { past, gap, live }
    }
}

pub(super) fn of_batch(event: BatchEvent) -> (Timestamp, What) {
    (event.at, What::Batch(event.id, event.kind))
}
