//! The ledger over time: timeouts, restarts, retention.

use super::{
    book::{BatchStatus, Book},
    ledger::Ledger,
    reason::Reason,
};
use crate::{
    jobs::{GroupRecord, Retention, SLEW_MS, Scheduler},
    time::Timestamp,
};

impl Ledger {
    /// Ends batches whose time is over; those never sealed among them.
    pub fn tick(&mut self, now: Timestamp, scheduler: &mut Scheduler) {
        self.advance(now);
        while let Some(&(at, key)) = self.deadlines.first() {
            if at > now {
                break;
            }
            let ms = self
                .books
                .get(&key)
                .map_or(0, |book| book.options.timeout_ms);
            let error = Some(Reason::TimedOut { ms }.to_string());
            self.end(now, key, BatchStatus::Failed, error, scheduler);
        }
    }

    /// Forgets ended batches beyond the retention, oldest first, at most `steps` of them.
    pub fn sweep(&mut self, now: Timestamp, retention: &Retention, steps: usize) -> usize {
        let mut swept = 0;
        while swept < steps
            && let Some(&(at, key)) = self.ended.first()
            && (now.ms_since(at) > retention.age_ms
                || self.ended.len() > retention.count
                || self.ended_bytes > retention.bytes)
        {
            self.ended.remove(&(at, key));
            if let Some(book) = self.books.remove(&key) {
                self.ended_bytes -= book.result_bytes;
                self.by_id.remove(&book.id);
                self.removed.push((key, book.id));
            }
            self.dirty.remove(&key);
            swept += 1;
        }
        swept
    }

    /// The ledger that these books tell of.
    pub fn restore(books: impl IntoIterator<Item = Book>) -> Self {
        let mut ledger = Self::default();
        for book in books {
            ledger.metrics.total += 1;
            ledger.metrics.items += book.processed_items;
            if book.status.ended() {
                let at = book.completed_at.unwrap_or(book.created_at());
                ledger.ended.insert((at, book.key));
                ledger.ended_bytes += book.result_bytes;
                ledger.ended_ms += book.processing_ms(at);
                *ledger.count(book.status) += 1;
            } else {
                ledger.metrics.active += 1;
                ledger.deadlines.insert((book.deadline, book.key));
            }
            ledger.by_id.insert(book.id, book.key);
            ledger.books.insert(book.key, book);
        }
        ledger
    }

    /// What [`Scheduler::restore`] needs of these books.
    pub fn groups(books: &[Book]) -> impl Iterator<Item = GroupRecord> {
        let live = books.iter().filter(|book| !book.status.ended());
        live.map(|book| GroupRecord {
            key: book.key,
            limit: book.options.max_concurrency,
        })
    }

    /// Fails the batches that were never sealed: after a restart nobody is left to do it.
    pub fn abandon_unsealed(&mut self, now: Timestamp, scheduler: &mut Scheduler) {
        let open = self
            .books
            .values()
            .filter(|book| !book.sealed && !book.status.ended());
        let open: Vec<u64> = open.map(|book| book.key).collect();
        for key in open {
            let error = Some(Reason::Abandoned.to_string());
            self.end(now, key, BatchStatus::Failed, error, scheduler);
        }
    }

    /// A clock that jumped back takes the deadlines with it, as in the scheduler.
    fn advance(&mut self, now: Timestamp) {
        let back = self.now.ms_since(now);
        self.now = now;
        if back <= SLEW_MS {
            return;
        }
        for (at, key) in core::mem::take(&mut self.deadlines) {
            let at = Timestamp(at.0.saturating_sub(back));
            self.deadlines.insert((at, key));
            if let Some(book) = self.books.get_mut(&key) {
                book.deadline = at;
                self.dirty.insert(key);
            }
        }
    }
}
