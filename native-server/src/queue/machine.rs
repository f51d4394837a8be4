//! The writer's state: the decisions of the core, and the blobs of the round that go with them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use sommos_core::{
    batch::{BatchChange, BatchOptions, Ledger},
    jobs::{
        BatchId, Change, Claim, Event, EventKind, Fault, JobError, JobId, Kind, Marks, Scheduler,
        Submitted,
    },
    time::Timestamp,
};

use super::{
    control::WorkControl,
    inbox::Outcome,
    pool::Assignment,
    store::{Loaded, Store, StoreError},
    timings::Timed,
    types::{NewJob, QueueConfig, Work},
};

/// A claim that the pool has.
pub(super) struct Running {
    pub(super) id: JobId,
    pub(super) control: Arc<WorkControl>,
    pub(super) interrupted: Option<Instant>,
    pub(super) lost: bool,
}

pub(super) struct Machine {
    pub(super) config: QueueConfig,
    pub(super) scheduler: Scheduler,
    pub(super) ledger: Ledger,
    pub(super) running: HashMap<u64, Running>,
    /// Payloads of waiting jobs; those of this round are nowhere else.
    cache: BTreeMap<u64, Bytes>,
    cache_bytes: usize,
    /// Blobs to write with this round.
    payloads: HashMap<u64, Bytes>,
    results: HashMap<u64, Bytes>,
    chunks: Vec<(u64, u32, bool, Bytes)>,
    new_params: HashMap<u64, Bytes>,
    /// Parameters of live batches.
    params: HashMap<u64, Bytes>,
    garbage: Vec<u64>,
    marks: Marks,
    /// Events of jobs, gathered on their way through the ledger.
    pub(super) events: Vec<Event>,
    /// What these events tell of time.
    pub(super) timed: Vec<Timed>,
}

impl Machine {
    /// The machine of what the store holds. `running` are claims that live on in this process.
    pub(super) fn load(
        config: QueueConfig,
        store: &Store,
        now: Timestamp,
        running: HashMap<u64, Running>,
    ) -> Result<Self, StoreError> {
        let Loaded {
            marks,
            records,
            books,
            garbage,
        } = store.load()?;
        let mut scheduling = config.scheduler.clone();
        // Workers live and die with this process: no lease has to be kept.
        scheduling.lease_ms = u64::MAX;
        scheduling.large_max = config.max_workers.saturating_sub(1).max(1);
        let groups = Ledger::groups(&books);
        let alive = |token| running.contains_key(&token);
        let scheduler = Scheduler::restore(scheduling, now, marks, groups, records, alive);
        Ok(Self {
            config,
            scheduler,
            ledger: Ledger::restore(books),
            running,
            cache: BTreeMap::new(),
            cache_bytes: 0,
            payloads: HashMap::new(),
            results: HashMap::new(),
            chunks: Vec::new(),
            new_params: HashMap::new(),
            params: HashMap::new(),
            garbage,
            marks,
            events: Vec::new(),
            timed: Vec::new(),
        })
    }

    pub(super) fn submit(
        &mut self,
        now: Timestamp,
        entropy: [u8; 16],
        job: NewJob,
    ) -> Result<Submitted, JobError> {
        let NewJob {
            mut spec, payload, ..
        } = job;
        spec.payload_bytes = payload.len() as u64;
        let submitted = self.scheduler.submit(now, entropy, spec)?;
        if !submitted.deduplicated {
            self.keep_payload(submitted.seq, payload);
        }
        Ok(submitted)
    }

    fn keep_payload(&mut self, seq: u64, payload: Bytes) {
        self.cache_bytes += payload.len();
        self.cache.insert(seq, payload.clone());
        self.payloads.insert(seq, payload);
    }

    pub(super) fn open_batch(
        &mut self,
        now: Timestamp,
        entropy: [u8; 16],
        options: BatchOptions,
        params: Bytes,
    ) -> Result<BatchId, JobError> {
        let (id, key) = self
            .ledger
            .open(now, entropy, options, &mut self.scheduler)?;
        self.new_params.insert(key, params.clone());
        self.params.insert(key, params);
        Ok(id)
    }

    pub(super) fn append(
        &mut self,
        now: Timestamp,
        id: BatchId,
        payload: Bytes,
        items: u64,
    ) -> Result<u32, JobError> {
        let bytes = payload.len() as u64;
        let submitted = self
            .ledger
            .append(now, id, items, bytes, &mut self.scheduler)?;
        self.keep_payload(submitted.seq, payload);
        Ok(submitted.id.chunk)
    }

    /// Enters how an attempt ended. A stale report is dropped: its job went on without it.
    pub(super) fn finish(&mut self, now: Timestamp, outcome: &Outcome) {
        let Outcome {
            id, token, result, ..
        } = outcome;
        let Ok(record) = self.scheduler.get(*id) else {
            return;
        };
        let (seq, group) = (record.seq, record.group);
        let limit = self.config.result_bytes_max;
        let accepted = match result {
            Ok(data) if data.len() > limit => {
                let error = format!("the result has {} bytes; at most {limit}", data.len());
                let fault = Fault {
                    message: &error,
                    code: "RESULT_TOO_LARGE",
                    retryable: false,
                };
                self.scheduler.fail(now, *id, *token, fault)
            }
            Ok(data) => self.scheduler.complete(now, *id, *token, data.len() as u64),
            Err(failure) => self.scheduler.fail(now, *id, *token, failure.fault()),
        };
        let (Ok(()), Ok(data)) = (accepted, result) else {
            return;
        };
        if data.len() > limit {
            return;
        }
        if group == 0 {
            self.results.insert(seq, data.clone());
        } else {
            self.chunks.push((group, id.chunk, true, data.clone()));
        }
    }

    /// Passes job events through the ledger until both are quiet, and keeps them.
    pub(super) fn settle(&mut self) {
        loop {
            let events = self.scheduler.drain_events();
            if events.is_empty() {
                return;
            }
            let timed = events.iter().filter_map(|e| Timed::of(e, &self.scheduler));
            self.timed.extend(timed);
            self.ledger.apply(&events, &mut self.scheduler);
            for event in &events {
                if let (true, EventKind::Failed { error, .. }) = (event.group != 0, &event.kind) {
                    let text = Bytes::copy_from_slice(error.as_bytes());
                    self.chunks.push((event.group, event.id.chunk, false, text));
                }
            }
            self.events.extend(events);
        }
    }

    pub(super) fn dirty(&self) -> bool {
        self.scheduler.changed()
            || self.ledger.changed()
            || !self.garbage.is_empty()
            || self.scheduler.marks() != self.marks
    }

    /// Writes the round inside an open transaction.
    pub(super) fn write(&mut self, store: &mut Store) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        let (payloads, results) = (&mut self.payloads, &mut self.results);
        self.scheduler.drain_changes(|change| {
            if outcome.is_err() {
                return;
            }
            outcome = match change {
                Change::Insert(record) => {
                    let payload = payloads.remove(&record.seq).unwrap_or_default();
                    store.insert(record, &payload, results.get(&record.seq).map(|r| &r[..]))
                }
                Change::Update(record) => {
                    store.update(record, results.get(&record.seq).map(|r| &r[..]))
                }
                Change::Remove { seq, id } => store.remove(seq, id.kind == Kind::Chunk),
            };
        });
        outcome?;
        let mut outcome = Ok(());
        let (new_params, garbage) = (&mut self.new_params, &mut self.garbage);
        let known = &mut self.params;
        self.ledger.drain_changes(|change| {
            if outcome.is_err() {
                return;
            }
            outcome = match change {
                BatchChange::Upsert(book) => {
                    if book.status.ended() {
                        known.remove(&book.key);
                    }
                    let params = new_params.remove(&book.key);
                    store.put_book(book, params.as_deref())
                }
                BatchChange::Remove { key, .. } => {
                    garbage.push(key);
                    store.discard_book(key)
                }
            };
        });
        outcome?;
        for (batch, chunk, ok, data) in self.chunks.drain(..) {
            store.put_chunk(batch, chunk, ok, &data)?;
        }
        if let Some(&key) = self.garbage.last()
            && store.collect(key)?
        {
            self.garbage.pop();
        }
        let marks = self.scheduler.marks();
        if marks != self.marks {
            store.put_marks(marks)?;
            self.marks = marks;
        }
        Ok(())
    }

    /// Forgets the blobs of the round and keeps the cache within its bound: what runs last goes
    /// first.
    pub(super) fn written(&mut self) {
        self.payloads.clear();
        self.results.clear();
        while self.cache_bytes > self.config.payload_cache_bytes
            && let Some((_, payload)) = self.cache.pop_last()
        {
            self.cache_bytes -= payload.len();
        }
    }

    pub(super) fn garbage(&self) -> bool {
        !self.garbage.is_empty()
    }

    /// Claims up to `max` and gives each its payload.
    pub(super) fn claim(
        &mut self,
        now: Timestamp,
        max: usize,
        store: &Store,
    ) -> Result<Vec<Assignment>, StoreError> {
        let claims = self.scheduler.claim(now, 0, max);
        claims
            .into_iter()
            .map(|claim| self.assign(&claim, store))
            .collect()
    }

    fn assign(&mut self, claim: &Claim, store: &Store) -> Result<Assignment, StoreError> {
        let payload = match self.cache.remove(&claim.seq) {
            Some(payload) => {
                self.cache_bytes -= payload.len();
                payload
            }
            None => store.payload(claim.seq)?,
        };
        let params = if claim.group == 0 {
            Bytes::new()
        } else if let Some(params) = self.params.get(&claim.group) {
            params.clone()
        } else {
            let params = store.params(claim.group)?;
            self.params.insert(claim.group, params.clone());
            params
        };
        let job_type = self
            .scheduler
            .get(claim.id)
            .map(|r| r.spec.job_type.clone());
        let work = Work {
            id: claim.id,
            kind: claim.id.kind,
            job_type: job_type.unwrap_or_default(),
            payload,
            params,
            attempt: claim.attempt,
        };
        Ok(Assignment {
            token: claim.token,
            work,
            control: Arc::default(),
        })
    }
}
