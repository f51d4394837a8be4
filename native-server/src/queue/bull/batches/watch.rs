//! What a server does beside its chunks: it hears of all batches, ends those whose time is over,
//! and forgets old ones.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bullmq::{QueueEvent, QueueEvents, QueueEventsOptions, Worker, WorkerOptions};
use sommos_core::{
    batch::{BatchEventKind, Reason, percent},
    jobs::BatchId,
    time::Timestamp,
};

use super::{
    link::{self, CHILDREN, Link, PARENTS},
    state,
};
use crate::queue::{bull::Bull, events::What, types::QueueError};

/// Time between two looks at the deadlines.
const TICK: Duration = Duration::from_millis(500);
/// Looks at the deadlines for each look at what may be forgotten.
const SWEEP_EVERY: u32 = 20;
/// Batches that are ended, or forgotten, in one look at most.
const STEPS: usize = 64;
/// Wait before another try to connect.
const RETRY: Duration = Duration::from_millis(500);
/// Parents that a server assembles at once.
const PARENTS_AT_ONCE: usize = 4;
/// A chunk that is claimed while all slots are taken begins as soon as one is free.
const CLAIMED_AHEAD: usize = 1;

impl Bull {
    /// Starts workers and listeners, as soon as Redis answers.
    pub(in crate::queue::bull) fn start_batches(self: &Arc<Self>) {
        let bull = Arc::clone(self);
        self.batches.keep(tokio::spawn(async move {
            let link = loop {
                match tokio::time::timeout(RETRY * 10, Link::open(&bull.options)).await {
                    Ok(Ok(link)) => break Arc::new(link),
                    Ok(Err(error)) => tracing::warn!(%error, "batches are not shared yet"),
                    Err(_) => tracing::warn!("batches are not shared yet: no answer"),
                }
                tokio::time::sleep(RETRY).await;
            };
            // It was empty, and nobody else fills it.
            let _ = bull.batches.link.set(Arc::clone(&link));
            let hearing = tokio::spawn(Arc::clone(&bull).hear());
            bull.batches.keep(hearing);
            loop {
                match Arc::clone(&bull).work().await {
                    Ok(()) => break,
                    Err(error) => tracing::warn!(%error, "workers of batches do not start"),
                }
                tokio::time::sleep(RETRY).await;
            }
            bull.look(&link).await;
        }));
    }

    async fn work(self: Arc<Self>) -> Result<(), bullmq::Error> {
        let mut workers = self.batches.workers.lock().await;
        let options = |concurrency| {
            WorkerOptions::default()
                .connection(link::connection(&self.options))
                .prefix(self.options.prefix.clone())
                .concurrency(concurrency)
                .lock_duration(self.options.lease)
                .stalled_interval(self.options.lease)
                // What loses its worker too often fails in its processor, where it is entered.
                .max_stalled_count(i32::MAX.unsigned_abs())
        };
        if workers.is_empty() {
            let bull = Arc::clone(&self);
            let parents = move |job, _| Arc::clone(&bull).assemble(job);
            let made = Worker::with_options(PARENTS, parents, options(PARENTS_AT_ONCE)).await?;
            workers.push(made);
        }
        let bull = Arc::clone(&self);
        let children = move |job, _| Arc::clone(&bull).chunk(job);
        let at_once = self.config.max_workers.max(1) + CLAIMED_AHEAD;
        workers.push(Worker::with_options(CHILDREN, children, options(at_once)).await?);
        Ok(())
    }

    /// Hands events of all servers on to those who listen here, and stops chunks of batches that
    /// have ended.
    async fn hear(self: Arc<Self>) {
        let mut last = None;
        loop {
            let options = QueueEventsOptions {
                connection: link::connection(&self.options),
                prefix: self.options.prefix.clone(),
                last_event_id: last.clone(),
                ..QueueEventsOptions::default()
            };
            if let Ok(events) = QueueEvents::with_options(PARENTS, options).await {
                while let Some(entry) = events.next_event().await {
                    match entry.event {
                        QueueEvent::Other { event, fields } => self.heard(&event, &fields),
                        QueueEvent::Error { message } => {
                            tracing::warn!(message, "events of batches break off");
                        }
                        _ => {}
                    }
                    if !entry.id.is_empty() {
                        last = Some(entry.id);
                    }
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    fn heard(&self, name: &str, fields: &HashMap<String, String>) {
        let number = |name: &str| fields.get(name)?.parse::<u64>().ok();
        let count = |name| {
            number(name)
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(0)
        };
        let Some(id) = fields
            .get("jobId")
            .and_then(|id| id.parse::<BatchId>().ok())
        else {
            return;
        };
        let kind = match name {
            "batchQueued" => BatchEventKind::Queued,
            "batchStarted" => BatchEventKind::Started,
            "batchProgress" => BatchEventKind::Progress {
                percent: percent(count("ended"), count("chunks"), count("sealed") == 1),
                processed_items: number("processedItems").unwrap_or(0),
            },
            "batchEnded" => {
                let status = fields.get("status").and_then(|text| state::status(text));
                let Some(status) = status else { return };
                self.batches.ended(id);
                BatchEventKind::Ended(status)
            }
            _ => return,
        };
        let at = Timestamp(number("at").unwrap_or(0));
        self.local.publish(at, What::Batch(id, kind));
    }

    /// Looks after batches for ever.
    async fn look(&self, link: &Link) {
        let pause = TICK.min(self.options.lease / 4);
        for round in 0u32.. {
            tokio::time::sleep(pause).await;
            if let Err(error) = self.tick(link).await {
                tracing::debug!(%error, "deadlines of batches wait");
            }
            if round.is_multiple_of(SWEEP_EVERY)
                && let Err(error) = self.sweep_batches(link).await
            {
                tracing::debug!(%error, "old batches wait");
            }
        }
    }

    async fn tick(&self, link: &Link) -> Result<(), QueueError> {
        let now = (self.config.clock)();
        let mut pipe = redis::pipe();
        for set in [".deadlines", ".open"] {
            pipe.cmd("ZRANGEBYSCORE")
                .arg(format!("{}{set}", link.base))
                .arg("-inf")
                .arg(now.0)
                .arg("LIMIT")
                .arg(0)
                .arg(STEPS);
        }
        let promised = self.batches.promised();
        for id in &promised {
            let until = now.plus_ms(self.promise_ms());
            pipe.cmd("ZADD")
                .arg(format!("{}.open", link.base))
                .arg("XX");
            pipe.arg(until.0).arg(id.to_string()).ignore();
        }
        let (late, open): (Vec<String>, Vec<String>) = link.pipe(&pipe).await?;
        for id in late.iter().filter_map(|id| id.parse().ok()) {
            let ms = match link.book(id).await {
                Ok(book) => book.options.timeout_ms,
                Err(QueueError::Job(_)) => continue,
                Err(error) => return Err(error),
            };
            self.fail(id, Reason::TimedOut { ms }).await?;
        }
        let ours = |id: &BatchId| promised.contains(id);
        for id in open
            .iter()
            .filter_map(|id| id.parse().ok())
            .filter(|id| !ours(id))
        {
            self.orphan(link, id).await?;
        }
        Ok(())
    }

    /// The server that was to bring more chunks of this batch is gone, or ended after the last.
    async fn orphan(&self, link: &Link, id: BatchId) -> Result<(), QueueError> {
        match link.book(id).await {
            Ok(book) if !book.sealed => self.fail(id, Reason::Abandoned).await?,
            Ok(_) | Err(QueueError::Job(_)) => {}
            Err(error) => return Err(error),
        }
        link.release(&id.to_string()).await
    }

    async fn sweep_batches(&self, link: &Link) -> Result<(), QueueError> {
        let kept = self.config.retention;
        let now = (self.config.clock)();
        loop {
            let swept: usize = link
                .script(&link::SWEEP, "", now, |call| {
                    call.arg(kept.age_ms)
                        .arg(kept.count)
                        .arg(kept.bytes)
                        .arg(STEPS);
                })
                .await?;
            if swept < STEPS {
                return Ok(());
            }
        }
    }

    /// Ends workers: what runs has `grace`, then goes back in line for the others.
    pub(in crate::queue::bull) async fn drain_batches(&self, grace: Duration) {
        for id in self.batches.promised() {
            // Nobody brings the rest; should Redis not answer, its lease tells the others.
            let _ = self.fail(id, Reason::Abandoned).await;
        }
        let workers = std::mem::take(&mut *self.batches.workers.lock().await);
        let spare = self.config.interrupt_grace + self.options.hard;
        let whole = u64::try_from((grace + spare).as_millis()).unwrap_or(u64::MAX);
        let stop = async {
            tokio::time::sleep(grace).await;
            self.batches.stop.send_replace(true);
            std::future::pending::<()>().await;
        };
        let closed = futures_util::future::join_all(workers.iter().map(|w| w.close(whole)));
        tokio::select! {
            _ = closed => {}
            () = stop => {}
        }
        self.batches.stop.send_replace(true);
        self.batches.abort();
    }
}
