//! Commits, and what happens instead of them.

use std::collections::BTreeSet;

use super::{Replies, World, config};
use crate::{
    batch::{BatchChange, Book, Ledger},
    jobs::{Action, Change, EventKind, Scheduler},
};

impl World {
    /// Hands the scheduler's events to the ledger until both are quiet.
    pub(super) fn enter_events(&mut self) {
        loop {
            let events = self.scheduler.drain_events();
            if events.is_empty() {
                break;
            }
            let dead = |k: &EventKind| matches!(k, EventKind::Failed { dead: true, .. });
            self.tally.dead += events.iter().filter(|e| dead(&e.kind)).count() as u64;
            self.ledger.apply(&events, &mut self.scheduler);
        }
    }

    /// Writes the round down, then tells its callers.
    fn write(&mut self) {
        self.enter_events();
        let (records, books) = (&mut self.store.records, &mut self.store.books);
        self.scheduler.drain_changes(|change| match change {
            Change::Insert(r) => {
                assert!(
                    records.insert(r.seq, r.clone()).is_none(),
                    "inserted twice: {r:?}"
                );
            }
            Change::Update(r) => {
                assert!(
                    records.insert(r.seq, r.clone()).is_some(),
                    "not inserted: {r:?}"
                );
            }
            Change::Remove { seq, .. } => {
                assert!(
                    records.remove(&seq).is_some(),
                    "removed but not there: {seq}"
                );
            }
        });
        self.ledger.drain_changes(|change| match change {
            BatchChange::Upsert(book) => {
                books.insert(book.key, book.clone());
            }
            BatchChange::Remove { key, .. } => {
                books.remove(&key);
            }
        });
        self.store.marks = self.scheduler.marks();
    }

    pub(super) fn commit(&mut self) {
        self.write();
        let replies = core::mem::take(&mut self.replies);
        for id in replies.reported {
            self.dead_tokens.insert(id);
        }
        for Action::Interrupt { token, .. } in self.scheduler.drain_actions() {
            self.dead_tokens.insert(token);
        }
        self.tally.claims += replies.claims.len() as u64;
        self.tally.acknowledged += replies.submitted.len() as u64;
        self.held.extend(replies.claims);
        self.pending.extend(replies.submitted);
        self.batches.extend(replies.opened);
        self.completed.extend(replies.completed);
    }

    /// The process ends, before or after its commit, and starts again.
    pub(super) fn crash(&mut self, committed: bool) {
        self.tally.crashes += 1;
        if committed {
            self.write();
        }
        self.replies = Replies::default();
        self.dead_tokens
            .extend(self.held.iter().map(|claim| claim.token));
        self.rebuild(|_| false);
        self.ledger.abandon_unsealed(self.now, &mut self.scheduler);
        self.commit();
    }

    /// The transaction fails: nobody of this round is answered. The workers live on.
    pub(super) fn fail_write(&mut self) {
        self.tally.write_failures += 1;
        self.replies = Replies::default();
        let held: BTreeSet<u64> = self.held.iter().map(|claim| claim.token).collect();
        self.rebuild(|token| held.contains(&token));
        self.commit();
    }

    fn rebuild(&mut self, alive: impl Fn(u64) -> bool) {
        let books: Vec<Book> = self.store.books.values().cloned().collect();
        let records = self.store.records.values().cloned();
        let groups = Ledger::groups(&books);
        let marks = self.store.marks;
        self.scheduler = Scheduler::restore(config(), self.now, marks, groups, records, alive);
        self.ledger = Ledger::restore(books);
        // Claims that were never handed out do not count.
        self.token_max = self.token_max.min(marks.token);
    }
}
