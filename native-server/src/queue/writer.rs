//! The one thread that decides and writes: rounds of commands, one transaction each.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sommos_core::{
    jobs::{Action, Interruption, JobId, Kind},
    time::Timestamp,
};

use super::{
    events::{Events, What, of_batch},
    inbox::{Inbox, Mail, Outcome},
    machine::{Machine, Running},
    pool::{Assignment, Pool, STALLED},
    store::{Store, StoreError},
    timings::Timings,
    types::QueueError,
};

/// A command: steps the machine, gives what to answer once the round is committed or not.
pub(super) type Step = Box<dyn FnOnce(&mut Machine, Timestamp) -> Reply + Send>;
/// The answer to a command.
pub(super) type Reply = Box<dyn FnOnce(Result<(), QueueError>) + Send>;

/// How often the progress of running work is looked at.
const SAMPLE: Duration = Duration::from_millis(100);
/// Ended jobs forgotten per round.
const SWEEP_STEP: usize = 512;
/// Longest sleep: retention by age is looked at this often.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Wait after a failed write, doubled up to a second.
const BACKOFF: Duration = Duration::from_millis(20);
/// A drain that cannot be written ends this long after its grace.
const HOPELESS: Duration = Duration::from_secs(5);

/// What the writer shares with its handles.
pub(super) struct Shared {
    pub(super) inbox: Arc<Inbox>,
    pub(super) events: Events,
    pub(super) pool: Pool,
    pub(super) healthy: AtomicBool,
    pub(super) commits: AtomicU64,
    pub(super) write_failures: AtomicU64,
    pub(super) timings: Timings,
    pub(super) drain: Mutex<Option<Instant>>,
    /// Statements of tests for the writer's connection, each with who waits for its number.
    #[cfg(test)]
    pub(super) sql: Mutex<Vec<(String, tokio::sync::oneshot::Sender<i64>)>>,
}

/// However the writer ends, nobody must wait for it any more.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.healthy.store(false, Ordering::Relaxed);
        self.0.inbox.close();
        drop(self.0.inbox.take(None));
        self.0.pool.stop();
    }
}

pub(super) struct Writer {
    pub(super) machine: Machine,
    pub(super) store: Store,
    pub(super) shared: Arc<Shared>,
    /// Outcomes of rounds that were not committed.
    pub(super) again: Vec<Outcome>,
    /// Claims that go back unused, until that is committed.
    pub(super) returning: Vec<(JobId, u64)>,
    pub(super) failures: u32,
    pub(super) sampled: Instant,
    pub(super) more_to_sweep: bool,
}

impl Writer {
    /// Rounds until the inbox is closed or the drain is over.
    pub(super) fn run(mut self) {
        let _closing = Closing(Arc::clone(&self.shared));
        loop {
            let timeout = self.timeout();
            let mail = self.shared.inbox.take(Some(timeout));
            if mail.closed {
                break;
            }
            let drained = self.round(mail);
            let hopeless = self
                .draining()
                .is_some_and(|until| until.elapsed() > HOPELESS);
            if drained || hopeless {
                self.store.checkpoint();
                break;
            }
        }
        for running in self.machine.running.values() {
            running.control.interrupt(Interruption::Cancelled);
        }
    }

    fn timeout(&self) -> Duration {
        let machine = &self.machine;
        if self.failures > 0 {
            return (BACKOFF * (1 << self.failures.min(6))).min(Duration::from_secs(1));
        }
        let mut timeout = SLEEP_MAX;
        let deadlines = [
            machine.scheduler.next_deadline(),
            machine.ledger.next_deadline(),
        ];
        if let Some(until) = self.draining() {
            timeout = timeout.min(until.saturating_duration_since(Instant::now()));
        }
        if let Some(next) = deadlines.into_iter().flatten().min() {
            let now = (machine.config.clock)();
            timeout = timeout.min(Duration::from_millis(next.ms_since(now)));
        }
        if !machine.running.is_empty() {
            timeout = timeout.min(SAMPLE);
        }
        if self.shared.pool.waiting() {
            timeout = timeout.min(STALLED);
        }
        if self.more_to_sweep || machine.garbage() {
            timeout = timeout.min(Duration::from_millis(1));
        }
        timeout
    }

    /// One round; gives whether a drain is over.
    fn round(&mut self, mail: Mail) -> bool {
        #[cfg(test)]
        for (sql, sender) in self.shared.sql.lock().unwrap().drain(..) {
            let row = self
                .store
                .connection()
                .query_row(&sql, [], |row| row.get(0));
            let _ = sender.send(row.unwrap_or_default());
        }
        let now = (self.machine.config.clock)();
        let mut outcomes = std::mem::take(&mut self.again);
        outcomes.extend(mail.outcomes);
        for outcome in &outcomes {
            self.returned(outcome);
            self.machine.finish(now, outcome);
        }
        self.sample(now);
        let replies: Vec<Reply> = mail
            .steps
            .into_iter()
            .map(|step| step(&mut self.machine, now))
            .collect();
        self.machine.scheduler.tick(now);
        self.machine.ledger.tick(now, &mut self.machine.scheduler);
        let drained = self.drained(now);
        self.machine.settle();
        let written = self.claim(now).and_then(|assignments| {
            self.sweep(now);
            self.machine.settle();
            self.commit()?;
            Ok(assignments)
        });
        match written {
            Ok(assignments) => self.publish(replies, assignments),
            Err(error) => {
                self.recover(now, &error, replies, outcomes);
                return false;
            }
        }
        self.watch_interrupted();
        drained
    }

    fn returned(&mut self, outcome: &Outcome) {
        let running = self.machine.running.remove(&outcome.token);
        if running.is_some_and(|running| running.lost) {
            self.shared.pool.count_lost(false);
        }
    }

    /// Takes the progress of running work, at most ten times a second.
    fn sample(&mut self, now: Timestamp) {
        if self.sampled.elapsed() < SAMPLE {
            return;
        }
        self.sampled = Instant::now();
        for (token, running) in &self.machine.running {
            let percent = running.control.percent();
            if percent > 0 {
                // Refused if it was interrupted meanwhile.
                let _ = self
                    .machine
                    .scheduler
                    .progress(now, running.id, *token, percent);
            }
        }
    }

    /// Gives back what stands in front of busy workers for too long.
    fn give_back(&mut self, now: Timestamp, unused: Vec<Assignment>) {
        self.returning
            .extend(unused.iter().map(|unused| (unused.work.id, unused.token)));
        for (id, token) in &self.returning {
            self.machine.running.remove(token);
            // Refused if it was cancelled meanwhile.
            let _ = self.machine.scheduler.release(now, *id, *token);
        }
    }

    fn draining(&self) -> Option<Instant> {
        *self
            .shared
            .drain
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// While draining: gives back what has not begun and, when the grace is over, the rest.
    /// Gives whether nothing is left.
    fn drained(&mut self, now: Timestamp) -> bool {
        let Some(until) = self.draining() else {
            let stalled = self.shared.pool.take_stalled();
            self.give_back(now, stalled);
            return false;
        };
        let ready = self.shared.pool.take_ready();
        self.give_back(now, ready);
        if Instant::now() >= until {
            for (token, running) in &self.machine.running {
                running.control.interrupt(Interruption::Cancelled);
                let _ = self.machine.scheduler.release(now, running.id, *token);
            }
            return true;
        }
        self.machine.running.is_empty()
    }

    fn claim(&mut self, now: Timestamp) -> Result<Vec<Assignment>, StoreError> {
        if self.draining().is_some() || !self.machine.scheduler.claimable() {
            return Ok(Vec::new());
        }
        let capacity = self.shared.pool.capacity();
        self.machine.claim(now, capacity, &self.store)
    }

    fn sweep(&mut self, now: Timestamp) {
        let retention = self.machine.config.retention;
        let jobs = self.machine.scheduler.sweep(now, &retention, SWEEP_STEP);
        let batches = self.machine.ledger.sweep(now, &retention, SWEEP_STEP);
        self.more_to_sweep = jobs.max(batches) == SWEEP_STEP;
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        if !self.machine.dirty() {
            return Ok(());
        }
        let began = Instant::now();
        self.store.begin()?;
        self.machine.write(&mut self.store)?;
        self.store.commit()?;
        self.shared.timings.commits.record(began.elapsed());
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// After the commit: work first, for it takes longest, then answers and events.
    fn publish(&mut self, replies: Vec<Reply>, assignments: Vec<Assignment>) {
        self.failures = 0;
        self.returning.clear();
        self.shared.healthy.store(true, Ordering::Relaxed);
        for Action::Interrupt { token, why, .. } in self.machine.scheduler.drain_actions() {
            if let Some(running) = self.machine.running.get_mut(&token) {
                running.control.interrupt(why);
                running.interrupted = Some(Instant::now());
            }
        }
        for Assignment {
            token,
            work,
            control,
        } in &assignments
        {
            let control = Arc::clone(control);
            let running = Running {
                id: work.id,
                control,
                interrupted: None,
                lost: false,
            };
            self.machine.running.insert(*token, running);
        }
        self.shared.pool.push(assignments);
        for reply in replies {
            reply(Ok(()));
        }
        for timed in self.machine.timed.drain(..) {
            self.shared.timings.record(timed);
        }
        let jobs = self
            .machine
            .events
            .drain(..)
            .filter(|event| event.id.kind != Kind::Chunk);
        let jobs = jobs.map(|event| (event.at, What::Job(event.id, event.kind)));
        let batches = self.machine.ledger.drain_events().into_iter().map(of_batch);
        self.shared.events.publish(jobs.chain(batches));
        self.machine.written();
    }

    /// After a failed write: nothing of the round happened. The machine is what the store says;
    /// workers live on and what they reported is tried again.
    fn recover(
        &mut self,
        now: Timestamp,
        error: &StoreError,
        replies: Vec<Reply>,
        outcomes: Vec<Outcome>,
    ) {
        tracing::error!(%error, "the queue could not be written");
        self.store.rollback();
        self.failures += 1;
        self.shared.healthy.store(false, Ordering::Relaxed);
        self.shared.write_failures.fetch_add(1, Ordering::Relaxed);
        if error.is_busy() {
            self.shared.timings.busy.fetch_add(1, Ordering::Relaxed);
        }
        let error: Arc<str> = error.to_string().into();
        for reply in replies {
            reply(Err(QueueError::Store(Arc::clone(&error))));
        }
        self.again = outcomes;
        let mut running = std::mem::take(&mut self.machine.running);
        // Whose end waits to be written still runs, as far as the store knows.
        let reported = self.again.iter().map(|outcome| (outcome.id, outcome.token));
        for (id, token) in reported.chain(self.returning.iter().copied()) {
            running.entry(token).or_insert_with(|| Running {
                id,
                control: Arc::default(),
                interrupted: None,
                lost: false,
            });
        }
        let config = self.machine.config.clone();
        match Machine::load(config, &self.store, now, running) {
            Ok(machine) => self.machine = machine,
            // The old machine holds changes that were not written, so it must not go on.
            Err(error) => self.give_up(&error),
        }
    }

    fn give_up(&mut self, error: &StoreError) {
        tracing::error!(%error, "the queue's database cannot be read: the queue stops");
        self.machine.running = HashMap::new();
        self.shared.inbox.close();
    }

    /// Counts workers that go on long after their interruption as lost, so that others may start.
    fn watch_interrupted(&mut self) {
        let grace = self.machine.config.interrupt_grace;
        for running in self.machine.running.values_mut() {
            let late = running.interrupted.is_some_and(|at| at.elapsed() >= grace);
            if late && !running.lost && running.control.started() {
                running.lost = true;
                self.shared.pool.count_lost(true);
            }
        }
    }
}
