use super::*;
use crate::{
    jobs::{Config, Fault, JobError, Retention, Scheduler},
    limits::Limits,
    time::Timestamp,
};

const T0: Timestamp = Timestamp(1_000_000);

fn fault(message: &str) -> Fault<'_> {
    Fault {
        message,
        code: "BAD",
        retryable: false,
    }
}

struct Fixture {
    scheduler: Scheduler,
    ledger: Ledger,
}

impl Fixture {
    fn new() -> Self {
        Self {
            scheduler: Scheduler::new(Config::default()),
            ledger: Ledger::default(),
        }
    }

    fn batch(&mut self, chunks: u32, options: BatchOptions) -> crate::jobs::BatchId {
        let (id, _) = self
            .ledger
            .open(T0, [3; 16], options, &mut self.scheduler)
            .unwrap();
        for _ in 0..chunks {
            self.ledger
                .append(T0, id, 10, 100, &mut self.scheduler)
                .unwrap();
        }
        self.ledger.seal(T0, id, &mut self.scheduler).unwrap();
        id
    }

    fn enter(&mut self) {
        loop {
            let events = self.scheduler.drain_events();
            if events.is_empty() {
                break;
            }
            self.ledger.apply(&events, &mut self.scheduler);
        }
    }

    /// Runs one chunk; an error text fails it.
    fn run(&mut self, error: Option<&str>) {
        let claim = self.scheduler.claim(T0, 0, 1)[0];
        match error {
            None => self
                .scheduler
                .complete(T0, claim.id, claim.token, 5)
                .unwrap(),
            Some(e) => self
                .scheduler
                .fail(T0, claim.id, claim.token, fault(e))
                .unwrap(),
        }
        self.enter();
    }
}

#[test]
fn a_plan_covers_every_record_once() {
    let limits = Limits::default();
    for (records, size) in [(1, 1), (10, 3), (9, 3), (5, 100)] {
        let plan = plan(records, size, &limits).unwrap();
        let all: Vec<usize> = plan.ranges().flatten().collect();
        assert_eq!(all, (0..records).collect::<Vec<_>>());
        assert!(plan.range(plan.chunks()).is_empty());
    }
    assert_eq!(plan(0, 1, &limits), Err(PlanError::Empty));
    assert!(matches!(
        plan(1, 0, &limits),
        Err(PlanError::BatchSize { .. })
    ));
    assert!(matches!(
        plan(5_000_000, 1, &limits),
        Err(PlanError::Chunks { .. })
    ));
    assert!(matches!(
        plan(5_000_001, 1000, &limits),
        Err(PlanError::Records { .. })
    ));
}

#[test]
fn one_bad_chunk_fails_alone_and_is_named() {
    let mut f = Fixture::new();
    let id = f.batch(3, BatchOptions::default());
    f.run(None);
    f.run(Some("row 7 has no id"));
    assert_eq!(f.ledger.get(id).unwrap().progress(), 66);
    f.run(None);
    let book = f.ledger.get(id).unwrap();
    assert_eq!(book.status, BatchStatus::Completed);
    assert_eq!((book.processed_items, book.failed_chunks), (20, 1));
    assert_eq!(
        book.errors,
        [ChunkError {
            chunk: 1,
            error: "row 7 has no id".into()
        }]
    );
}

#[test]
fn all_bad_is_failed() {
    let mut f = Fixture::new();
    let id = f.batch(2, BatchOptions::default());
    f.run(Some("a"));
    f.run(Some("b"));
    assert_eq!(f.ledger.get(id).unwrap().status, BatchStatus::Failed);
}

#[test]
fn stop_on_error_takes_the_rest_back() {
    let mut f = Fixture::new();
    let id = f.batch(
        50,
        BatchOptions {
            stop_on_error: true,
            ..BatchOptions::default()
        },
    );
    f.run(None);
    f.run(Some("no"));
    let book = f.ledger.get(id).unwrap();
    assert_eq!(book.status, BatchStatus::Failed);
    assert_eq!(
        (
            book.completed_chunks,
            book.failed_chunks,
            book.cancelled_chunks
        ),
        (1, 1, 48)
    );
    assert!(!f.scheduler.claimable());
}

#[test]
fn a_timeout_and_a_cancel_end_the_chunks_too() {
    let mut f = Fixture::new();
    let options = BatchOptions {
        timeout_ms: 500,
        ..BatchOptions::default()
    };
    let id = f.batch(4, options);
    let _running = f.scheduler.claim(T0, 0, 2);
    f.enter();
    assert_eq!(f.ledger.next_deadline(), Some(T0.plus_ms(500)));
    f.ledger.tick(T0.plus_ms(500), &mut f.scheduler);
    f.enter();
    let book = f.ledger.get(id).unwrap();
    assert_eq!(book.error.as_deref(), Some("timed out after 500 ms"));
    assert_eq!(book.cancelled_chunks, 4);
    assert_eq!(
        f.scheduler.drain_actions().len(),
        2,
        "the running ones are interrupted"
    );
    assert_eq!(
        f.ledger.cancel(T0, id, &mut f.scheduler),
        Err(JobError::Sealed(id))
    );
    assert_eq!(
        f.ledger.sweep(
            T0.plus_ms(501),
            &Retention {
                age_ms: 0,
                ..Retention::default()
            },
            9
        ),
        1
    );
    assert!(f.ledger.get(id).is_err());
}

#[test]
fn a_sealed_batch_takes_no_chunk_and_an_empty_one_completes() {
    let mut f = Fixture::new();
    let id = f.batch(0, BatchOptions::default());
    assert_eq!(f.ledger.get(id).unwrap().status, BatchStatus::Completed);
    let refused = f.ledger.append(T0, id, 1, 1, &mut f.scheduler);
    assert_eq!(refused, Err(JobError::Sealed(id)));
}

#[test]
fn a_batch_whose_data_cannot_be_read_fails_with_the_reason() {
    let mut f = Fixture::new();
    let options = BatchOptions::default();
    let (id, _) = f
        .ledger
        .open(T0, [4; 16], options, &mut f.scheduler)
        .unwrap();
    f.ledger.append(T0, id, 10, 100, &mut f.scheduler).unwrap();
    let claim = f.scheduler.claim(T0, 0, 1)[0];
    f.ledger
        .fail(T0, id, "the source broke", &mut f.scheduler)
        .unwrap();
    f.enter();
    let book = f.ledger.get(id).unwrap();
    assert_eq!(book.status, BatchStatus::Failed);
    assert_eq!(book.error.as_deref(), Some("the source broke"));
    assert_eq!(book.cancelled_chunks, 1);
    let late = f.scheduler.complete(T0, claim.id, claim.token, 5);
    assert!(matches!(
        late,
        Err(JobError::Stale { .. } | JobError::NotFound(_))
    ));
    let again = f.ledger.fail(T0, id, "again", &mut f.scheduler);
    assert_eq!(again, Err(JobError::Sealed(id)));
}
