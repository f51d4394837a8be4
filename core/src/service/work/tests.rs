//! The machine over a store that can fail and be reopened, as a Durable Object's is.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use super::*;
use crate::{
    batch::Book,
    control::{Control, Stopped},
    jobs::Status,
    par::Par,
    service::Request,
    wire::jobs::{SubmitDefaults, WorkKind},
};

/// What is on the disk, shared by all who open it.
#[derive(Default)]
struct Disk {
    records: BTreeMap<u64, Record>,
    books: BTreeMap<u64, Book>,
    marks: Marks,
    blobs: MemoryStore,
    fails: bool,
}

type Line = Box<dyn FnOnce(&mut Disk)>;

#[derive(Default)]
struct DiskStore {
    disk: Rc<RefCell<Disk>>,
    round: Vec<Line>,
}

fn keep_blobs(disk: &mut Disk, line: Write<'_>) {
    let Ok(()) = disk.blobs.write(line);
}

impl Store for DiskStore {
    type Error = &'static str;

    fn write(&mut self, line: Write<'_>) -> Result<(), Self::Error> {
        self.round.push(match line {
            Write::Insert {
                record,
                payload,
                result,
            } => {
                let record = record.clone();
                Box::new(move |disk| {
                    disk.records.insert(record.seq, record.clone());
                    let record = &record;
                    keep_blobs(
                        disk,
                        Write::Insert {
                            record,
                            payload,
                            result,
                        },
                    );
                })
            }
            Write::Update { record, result } => {
                let record = record.clone();
                Box::new(move |disk| {
                    assert!(disk.records.insert(record.seq, record.clone()).is_some());
                    let record = &record;
                    keep_blobs(disk, Write::Update { record, result });
                })
            }
            Write::Remove { seq } => Box::new(move |disk| {
                disk.records.remove(&seq);
                keep_blobs(disk, Write::Remove { seq });
            }),
            Write::Book { book, processor } => {
                let book = book.clone();
                Box::new(move |disk| {
                    disk.books.insert(book.key, book.clone());
                    let book = &book;
                    keep_blobs(disk, Write::Book { book, processor });
                })
            }
            Write::RemoveBook { key } => Box::new(move |disk| {
                disk.books.remove(&key);
                keep_blobs(disk, Write::RemoveBook { key });
            }),
            Write::Chunk {
                key,
                chunk,
                outcome,
            } => Box::new(move |disk| {
                keep_blobs(
                    disk,
                    Write::Chunk {
                        key,
                        chunk,
                        outcome,
                    },
                );
            }),
            Write::Marks(marks) => Box::new(move |disk| disk.marks = marks),
        });
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Self::Error> {
        let mut disk = self.disk.borrow_mut();
        let round = core::mem::take(&mut self.round);
        if disk.fails {
            return Err("the disk is full");
        }
        for line in round {
            line(&mut disk);
        }
        Ok(())
    }

    fn payload(&self, seq: u64) -> Result<Vec<u8>, Self::Error> {
        Ok(self.disk.borrow().blobs.payload(seq).unwrap_or_default())
    }

    fn result(&self, seq: u64) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok(self.disk.borrow().blobs.result(seq).unwrap_or_default())
    }

    fn processor(&self, key: u64) -> Result<Vec<u8>, Self::Error> {
        Ok(self.disk.borrow().blobs.processor(key).unwrap_or_default())
    }

    fn chunks(
        &self,
        key: u64,
        from: u32,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(u32, ChunkOutcome)>, Self::Error> {
        let disk = self.disk.borrow();
        Ok(disk
            .blobs
            .chunks(key, from, limit, bytes)
            .unwrap_or_default())
    }
}

const START: Timestamp = Timestamp(1_000_000);
const LEASE_MS: u64 = 1000;

fn config() -> WorkConfig {
    WorkConfig {
        limits: Limits::default(),
        scheduler: Config {
            lease_ms: LEASE_MS,
            ..Config::default()
        },
        retention: Retention::default(),
        workers: 4,
    }
}

/// The machine that the disk tells of.
fn open(disk: &Rc<RefCell<Disk>>, now: Timestamp) -> Work<DiskStore> {
    let saved = {
        let disk = disk.borrow();
        Saved {
            marks: disk.marks,
            records: disk.records.values().cloned().collect(),
            books: disk.books.values().cloned().collect(),
        }
    };
    let store = DiskStore {
        disk: Rc::clone(disk),
        round: Vec::new(),
    };
    Work::restore(config(), now, saved, store)
}

fn defaults() -> Defaults {
    Defaults {
        jobs: SubmitDefaults::default(),
        task_timeout_ms: 60_000,
        batch_timeout_ms: 60_000,
    }
}

fn submission() -> Submission {
    let body = br#"{"jobType":"matrix_multiplication","data":{"matrixA":[[2]],"matrixB":[[3]]}}"#;
    let request = Request {
        body,
        ..Request::default()
    };
    Submission::decode(WorkKind::Job, &request, &defaults(), &Limits::default()).unwrap()
}

/// Submits a job; it is on the disk when this returns.
fn submit(work: &mut Work<DiskStore>, now: Timestamp, seed: u8) {
    work.submit(now, [seed; 16], submission()).unwrap();
    work.commit().unwrap();
}

fn claim(work: &mut Work<DiskStore>, now: Timestamp) -> Claim {
    let claims = work.claim(now);
    work.commit().unwrap();
    assert_eq!(claims.len(), 1, "{claims:?}");
    claims[0]
}

fn status(work: &Work<DiskStore>, id: JobId) -> (Status, u32, u8) {
    let state = &work.scheduler.get(id).unwrap().state;
    (state.status, state.attempts, state.progress)
}

#[test]
fn a_worker_reports_to_a_machine_that_was_restored_meanwhile() {
    let disk = Rc::new(RefCell::new(Disk::default()));
    let mut work = open(&disk, START);
    submit(&mut work, START, 1);
    let claim = claim(&mut work, START);
    let item = work.start(START, claim.id, claim.token).unwrap().unwrap();
    let mut work = open(&disk, START.plus_ms(10));
    let result = item.run(Par::Seq, &crate::control::Unstoppable, &Limits::default());
    let result = result.unwrap();
    let now = START.plus_ms(20);
    assert!(work.finish(now, claim.id, claim.token, 0, Ok(result)));
    work.commit().unwrap();
    let work = open(&disk, now);
    assert_eq!(status(&work, claim.id).0, Status::Completed);
    let seq = work.scheduler.get(claim.id).unwrap().seq;
    assert!(work.store.result(seq).unwrap().is_some());
}

#[test]
fn a_worker_whose_lease_is_over_is_stale() {
    let disk = Rc::new(RefCell::new(Disk::default()));
    let mut work = open(&disk, START);
    submit(&mut work, START, 1);
    let first = claim(&mut work, START);
    assert!(work.start(START, first.id, first.token).unwrap().is_some());
    let later = START.plus_ms(LEASE_MS + 1);
    work.tick(later);
    work.commit().unwrap();
    assert!(!work.finish(later, first.id, first.token, 0, Ok(vec![1])));
    assert!(work.start(later, first.id, first.token).unwrap().is_none());
    // Back in line, its attempt counted; the wait before the next is over in time.
    let again = later.plus_ms(5000);
    work.tick(again);
    let second = claim(&mut work, again);
    assert_eq!((second.attempt, second.id), (2, first.id));
    assert!(second.token > first.token);
}

#[test]
fn a_claim_that_is_started_twice_has_lost_its_worker() {
    let disk = Rc::new(RefCell::new(Disk::default()));
    let mut work = open(&disk, START);
    submit(&mut work, START, 1);
    let claim = claim(&mut work, START);
    assert!(work.start(START, claim.id, claim.token).unwrap().is_some());
    assert!(work.start(START, claim.id, claim.token).unwrap().is_none());
    assert_eq!(status(&work, claim.id), (Status::Queued, 1, 0));
    assert!(!work.finish(START, claim.id, claim.token, 0, Ok(vec![1])));
}

#[test]
fn a_failed_write_keeps_nothing_and_a_restored_machine_goes_on() {
    let disk = Rc::new(RefCell::new(Disk::default()));
    let mut work = open(&disk, START);
    submit(&mut work, START, 1);
    disk.borrow_mut().fails = true;
    work.submit(START, [2; 16], submission()).unwrap();
    assert_eq!(work.commit().unwrap_err().code, ErrorCode::Unavailable);
    disk.borrow_mut().fails = false;
    let mut work = open(&disk, START);
    assert_eq!(work.scheduler.records().count(), 1);
    // Numbers are not used again.
    let first = claim(&mut work, START);
    submit(&mut work, START, 3);
    let second = claim(&mut work, START);
    assert!(second.seq > first.seq && second.token > first.token);
}

/// Stops after some of the work, as a platform does whose limit is near.
struct Near;

impl Control for Near {
    fn checkpoint(&self, _done: u64, _total: u64) -> Result<(), Stopped> {
        Err(Stopped::Exhausted)
    }
}

#[test]
fn work_beyond_the_platforms_limit_fails_clearly_and_keeps_its_progress() {
    let disk = Rc::new(RefCell::new(Disk::default()));
    let mut work = open(&disk, START);
    submit(&mut work, START, 1);
    let claim = claim(&mut work, START);
    let item = work.start(START, claim.id, claim.token).unwrap().unwrap();
    let error = item.run(Par::Seq, &Near, &Limits::default()).unwrap_err();
    assert_eq!(
        (error.code, error.code.status()),
        (ErrorCode::CpuLimit, 503)
    );
    work.finish(START, claim.id, claim.token, 42, Err(error.into()));
    assert_eq!(status(&work, claim.id), (Status::Failed, 1, 42));
    let error = work.scheduler.get(claim.id).unwrap().state.error.clone();
    assert!(error.unwrap().contains("processor time"));
}

#[test]
fn no_more_runs_at_once_than_there_are_workers() {
    let disk = Rc::new(RefCell::new(Disk::default()));
    let mut work = open(&disk, START);
    for seed in 0..10 {
        submit(&mut work, START, seed);
    }
    assert_eq!(work.claim(START).len(), 4);
    assert_eq!((work.claim(START).len(), work.running()), (0, 4));
}
