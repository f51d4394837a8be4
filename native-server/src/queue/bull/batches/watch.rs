//! What a server does beside its chunks: it hears of all batches, ends those whose time is over,
//! and forgets old ones.

use std::{sync::Arc, time::Duration};

use bullmq::WorkerOptions;
use sommos_core::{
    batch::{BatchEventKind, Reason, percent},
    jobs::BatchId,
    time::Timestamp,
};

use super::{state, store};
use crate::queue::{
    bull::{
        Bull,
        options::{BATCHES, CHUNKS},
        stream::{self, Entry},
    },
    events::What,
    types::QueueError,
};

/// Time between two looks at the deadlines.
const TICK: Duration = Duration::from_millis(500);
/// Looks at the deadlines for each look at what may be forgotten.
const SWEEP_EVERY: u32 = 20;
/// Batches that are ended, or forgotten, in one look at most.
const STEPS: usize = 64;
/// A chunk that is claimed while all slots are taken begins as soon as one is free.
const CLAIMED_AHEAD: usize = 1;

impl Bull {
    /// Starts workers and listeners of batches; they connect when Redis answers.
    pub(in crate::queue::bull) fn start_batches(self: &Arc<Self>) {
        let options = |ahead: usize| WorkerOptions {
            concurrency: self.config.max_workers.max(1) + ahead,
            // What loses its worker too often fails in its processor, where it is entered.
            max_stalled_count: i32::MAX.unsigned_abs(),
            ..self.worker_options()
        };
        let queue = BATCHES.to_owned();
        self.spawn(Arc::clone(self).serve_with(queue, options(0), Self::assemble));
        let queue = CHUNKS.to_owned();
        self.spawn(Arc::clone(self).serve_with(queue, options(CLAIMED_AHEAD), Self::chunk));
        self.spawn(Arc::clone(self).hear_batches());
        self.spawn(Arc::clone(self).look_after_batches());
    }

    /// Hands events of all servers on to those who listen here, and stops chunks of batches that
    /// have ended.
    async fn hear_batches(self: Arc<Self>) {
        let last = self.newest_event(BATCHES).await;
        stream::listen(&self.options, BATCHES, last, |entry| self.heard(entry)).await;
    }

    fn heard(&self, entry: &Entry) {
        let count = |name| {
            let n = entry.number(name).unwrap_or(0);
            u32::try_from(n).unwrap_or(u32::MAX)
        };
        let id = entry
            .text("jobId")
            .and_then(|id| id.parse::<BatchId>().ok());
        let (Some(name), Some(id)) = (entry.text("event"), id) else {
            return;
        };
        let kind = match name {
            "batchQueued" => BatchEventKind::Queued,
            "batchStarted" => BatchEventKind::Started,
            "batchProgress" => BatchEventKind::Progress {
                percent: percent(count("ended"), count("chunks"), count("sealed") == 1),
                processed_items: entry.number("processedItems").unwrap_or(0),
            },
            "batchEnded" => {
                let Some(status) = entry.text("status").and_then(state::status) else {
                    return;
                };
                self.batches.ended(id);
                BatchEventKind::Ended(status)
            }
            _ => return,
        };
        let at = Timestamp(entry.number("at").unwrap_or(0));
        let events = &self.local.0.shared.events;
        events.publish(std::iter::once((at, What::Batch(id, kind))));
    }

    /// Looks after batches for ever.
    async fn look_after_batches(self: Arc<Self>) {
        let pause = TICK.min(self.options.lease / 4);
        for round in 0u32.. {
            tokio::time::sleep(pause).await;
            if !self.link.is_up() {
                continue;
            }
            if let Err(error) = self.tick_batches().await {
                tracing::debug!(%error, "deadlines of batches wait");
            }
            if round.is_multiple_of(SWEEP_EVERY)
                && let Err(error) = self.sweep_batches().await
            {
                tracing::debug!(%error, "old batches wait");
            }
        }
    }

    async fn tick_batches(&self) -> Result<(), QueueError> {
        let now = self.now();
        let open = self.batch_key("", ".open");
        let mut pipe = redis::pipe();
        let promised = self.batches.promised();
        for id in &promised {
            let until = now.plus_ms(self.promise_ms()).0;
            let renew = pipe.cmd("ZADD").arg(&open).arg("XX");
            renew.arg(until).arg(id.to_string()).ignore();
        }
        for set in [&self.batch_key("", ".deadlines"), &open] {
            let due = pipe.cmd("ZRANGEBYSCORE").arg(set).arg("-inf").arg(now.0);
            due.arg("LIMIT").arg(0).arg(STEPS);
        }
        let (late, open): (Vec<String>, Vec<String>) = self.pipe(&pipe).await?;
        for id in late.iter().filter_map(|id| id.parse().ok()) {
            match self.concluded(id).await {
                Ok(book) if book.status.ended() => {}
                Ok(book) => {
                    let ms = book.options.timeout_ms;
                    self.fail(id, Reason::TimedOut { ms }).await?;
                }
                // Taken out of Redis by hand.
                Err(QueueError::Job(_)) => self.forget_deadline(id).await?,
                Err(error) => return Err(error),
            }
        }
        for id in open.iter().filter_map(|id| id.parse().ok()) {
            self.orphaned(id).await?;
        }
        Ok(())
    }

    async fn forget_deadline(&self, id: BatchId) -> Result<(), QueueError> {
        let mut pipe = redis::pipe();
        pipe.cmd("ZREM")
            .arg(self.batch_key("", ".deadlines"))
            .arg(id.to_string());
        self.pipe::<redis::Value>(&pipe).await.map(drop)
    }

    /// The server that was to bring more chunks of this batch is gone, or ended after the last.
    async fn orphaned(&self, id: BatchId) -> Result<(), QueueError> {
        match self.book_of(id).await {
            Ok(book) if !book.sealed => self.fail(id, Reason::Abandoned).await?,
            Ok(_) | Err(QueueError::Job(_)) => {}
            Err(error) => return Err(error),
        }
        self.release(&id.to_string()).await
    }

    async fn sweep_batches(&self) -> Result<(), QueueError> {
        let kept = self.config.retention;
        loop {
            let asked = self.script(&store::SWEEP, "", |call| {
                call.arg(kept.age_ms)
                    .arg(kept.count)
                    .arg(kept.bytes)
                    .arg(STEPS);
            });
            let swept: usize = asked.await?;
            if swept < STEPS {
                return Ok(());
            }
        }
    }

    /// Nobody will bring the rest of what was begun here.
    pub(in crate::queue::bull) async fn abandon_batches(&self) {
        for id in self.batches.promised() {
            // Should Redis not answer, the end of the promise tells the others.
            let _ = self.fail(id, Reason::Abandoned).await;
            self.batches.keep_no_promise(id);
        }
    }
}
