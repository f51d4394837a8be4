use super::{simulation::simulate, *};
use crate::time::Timestamp;

const T0: Timestamp = Timestamp(1_000_000);
const NO: Fault<'_> = Fault {
    message: "no",
    code: "NO",
    retryable: true,
};

fn machine() -> Scheduler {
    Scheduler::new(Config::default())
}

fn job(priority: i32) -> JobSpec {
    JobSpec {
        priority,
        ..JobSpec::new(Kind::Job, "t")
    }
}

fn submit(scheduler: &mut Scheduler, n: u8, spec: JobSpec) -> JobId {
    scheduler.submit(T0, [n; 16], spec).unwrap().id
}

fn kinds(scheduler: &mut Scheduler) -> Vec<EventKind> {
    scheduler
        .drain_events()
        .into_iter()
        .map(|e| e.kind)
        .collect()
}

#[test]
fn ten_thousand_histories_keep_every_invariant() {
    let mut sum = simulation::Tally::default();
    for seed in 0..10_000 {
        let tally = simulate(seed);
        sum.acknowledged += tally.acknowledged;
        sum.claims += tally.claims;
        sum.stale += tally.stale;
        sum.crashes += tally.crashes;
        sum.write_failures += tally.write_failures;
        sum.dead += tally.dead;
        sum.jumps += tally.jumps;
    }
    // The histories must contain what they are meant to survive.
    assert!(sum.acknowledged > 100_000, "{sum:?}");
    assert!(sum.claims > 100_000 && sum.stale > 10_000, "{sum:?}");
    assert!(
        sum.crashes > 10_000 && sum.write_failures > 10_000,
        "{sum:?}"
    );
    assert!(sum.dead > 1_000 && sum.jumps > 1_000, "{sum:?}");
}

#[test]
fn a_seed_is_a_history() {
    assert_eq!(simulate(42), simulate(42));
}

#[test]
fn priority_then_order_of_submission() {
    let mut s = machine();
    let ids: Vec<JobId> = [0, 5, 0, 5, -1]
        .iter()
        .zip(0..)
        .map(|(p, n)| submit(&mut s, n, job(*p)))
        .collect();
    assert_eq!(s.position(ids[4], 10), Some(4));
    assert_eq!(s.position(ids[4], 3), Some(3));
    let order: Vec<JobId> = s.claim(T0, 0, 9).iter().map(|c| c.id).collect();
    assert_eq!(order, [1, 3, 0, 2, 4].map(|i: usize| ids[i]));
}

#[test]
fn retries_double_their_delay_and_end_as_a_dead_letter() {
    let mut s = machine();
    let backoff = Backoff {
        base_ms: 1000,
        max_ms: 1500,
        jitter: 0.0,
    };
    let id = submit(
        &mut s,
        1,
        JobSpec {
            max_attempts: 3,
            backoff,
            ..job(0)
        },
    );
    let mut now = T0;
    for delay in [1000, 1500] {
        let claim = s.claim(now, 0, 1)[0];
        s.drain_events();
        s.fail(now, id, claim.token, NO).unwrap();
        let retry = EventKind::Retry {
            delay_ms: delay,
            error: "no".into(),
        };
        assert_eq!(kinds(&mut s), [retry]);
        assert_eq!(s.next_deadline(), Some(now.plus_ms(delay)));
        s.tick(now.plus_ms(delay - 1));
        assert!(!s.claimable());
        now = now.plus_ms(delay);
        s.tick(now);
    }
    let claim = s.claim(now, 0, 1)[0];
    assert_eq!(claim.attempt, 3);
    s.fail(now, id, claim.token, NO).unwrap();
    let record = s.get(id).unwrap();
    assert!(record.state.dead && record.state.status == Status::Failed);
    s.retry_dead(now, id).unwrap();
    assert_eq!(s.claim(now, 0, 1)[0].attempt, 1);
}

#[test]
fn jitter_stays_within_its_fraction_and_depends_on_the_seed() {
    let backoff = Backoff {
        base_ms: 10_000,
        max_ms: 1 << 40,
        jitter: 0.25,
    };
    let delays: Vec<u64> = (0..100).map(|seed| backoff.delay_ms(1, seed)).collect();
    assert!(delays.iter().all(|d| (7_500..=12_500).contains(d)));
    assert!(delays.iter().max().unwrap() - delays.iter().min().unwrap() > 3_000);
    assert_eq!(
        backoff.delay_ms(200, 1),
        backoff.max_ms.min(backoff.delay_ms(200, 1))
    );
}

#[test]
fn a_timeout_interrupts_and_counts() {
    let mut s = machine();
    let id = submit(
        &mut s,
        1,
        JobSpec {
            timeout_ms: 100,
            max_attempts: 1,
            ..job(0)
        },
    );
    let claim = s.claim(T0, 0, 1)[0];
    s.tick(T0.plus_ms(100));
    let why = Interruption::TimedOut;
    assert_eq!(
        s.drain_actions(),
        [Action::Interrupt {
            id,
            token: claim.token,
            why
        }]
    );
    let stale = JobError::Stale {
        id,
        token: claim.token,
    };
    assert_eq!(s.complete(T0.plus_ms(101), id, claim.token, 0), Err(stale));
    assert_eq!(
        s.get(id).unwrap().state.error.as_deref(),
        Some("timed out after 100 ms")
    );
}

#[test]
fn a_lease_is_kept_by_heartbeats_and_lost_without() {
    let mut s = Scheduler::new(Config {
        lease_ms: 1000,
        ..Config::default()
    });
    let id = submit(
        &mut s,
        1,
        JobSpec {
            max_attempts: 2,
            ..job(0)
        },
    );
    let first = s.claim(T0, 0, 1)[0];
    let later = T0.plus_ms(900);
    assert_eq!(s.heartbeat(later, id, first.token), Ok(later.plus_ms(1000)));
    s.tick(T0.plus_ms(1500));
    assert_eq!(s.get(id).unwrap().state.status, Status::Running);
    s.tick(T0.plus_ms(1900));
    assert_eq!(s.get(id).unwrap().state.status, Status::Queued);
    let second = s.claim(T0.plus_ms(1900), 0, 1)[0];
    assert!(second.token > first.token);
    s.tick(T0.plus_ms(9900));
    assert!(
        s.get(id).unwrap().state.dead,
        "the last attempt's worker was lost"
    );
}

#[test]
fn idempotency_keys_answer_until_they_are_swept() {
    let mut s = machine();
    let spec = JobSpec {
        idempotency_key: Some("k".into()),
        ..job(0)
    };
    let id = submit(&mut s, 1, spec.clone());
    let again = s.submit(T0, [2; 16], spec.clone()).unwrap();
    assert!(again.deduplicated && again.id == id);
    let task = JobSpec {
        kind: Kind::Task,
        ..spec.clone()
    };
    assert!(
        !s.submit(T0, [3; 16], task).unwrap().deduplicated,
        "a key is of its kind"
    );
    s.cancel(T0, id).unwrap();
    assert!(s.submit(T0, [4; 16], spec.clone()).unwrap().deduplicated);
    let retention = Retention {
        age_ms: 10,
        ..Retention::default()
    };
    assert_eq!(s.sweep(T0.plus_ms(11), &retention, 9), 1);
    assert!(
        !s.submit(T0.plus_ms(11), [5; 16], spec)
            .unwrap()
            .deduplicated
    );
    assert_eq!(s.get(id), Err(JobError::NotFound(id)));
}

#[test]
fn retention_by_count_and_bytes_takes_the_oldest() {
    let mut s = machine();
    let ids: Vec<JobId> = (0..5)
        .map(|n| {
            let id = submit(
                &mut s,
                n,
                JobSpec {
                    payload_bytes: 100,
                    ..job(0)
                },
            );
            s.cancel(T0.plus_ms(u64::from(n)), id).unwrap();
            id
        })
        .collect();
    let retention = Retention {
        count: 3,
        ..Retention::default()
    };
    assert_eq!(s.sweep(T0, &retention, 100), 2);
    let retention = Retention {
        bytes: 100,
        ..Retention::default()
    };
    assert_eq!(s.sweep(T0, &retention, 1), 1, "in steps");
    assert_eq!(s.sweep(T0, &retention, 100), 1);
    assert_eq!(s.kept(), (1, 100));
    assert!(s.get(ids[4]).is_ok());
}

#[test]
fn large_work_leaves_a_worker_to_small_work() {
    let mut s = Scheduler::new(Config {
        large_cost: 10,
        large_max: 1,
        ..Config::default()
    });
    let large = JobSpec { cost: 11, ..job(9) };
    let ids = [large.clone(), large, job(0)].map(|spec| spec);
    let ids: Vec<JobId> = ids
        .into_iter()
        .zip(0..)
        .map(|(j, n)| submit(&mut s, n, j))
        .collect();
    let claims = s.claim(T0, 0, 9);
    assert_eq!(
        claims.iter().map(|c| c.id).collect::<Vec<_>>(),
        [ids[0], ids[2]]
    );
    assert!(!s.claimable());
    s.complete(T0, ids[0], claims[0].token, 0).unwrap();
    assert_eq!(s.claim(T0, 0, 9)[0].id, ids[1]);
}

#[test]
fn a_full_queue_says_its_limit() {
    let mut s = Scheduler::new(Config {
        queued_max: 1,
        ..Config::default()
    });
    let id = submit(&mut s, 1, job(0));
    assert_eq!(
        s.submit(T0, [2; 16], job(0)),
        Err(JobError::Full { limit: 1 })
    );
    s.cancel(T0, id).unwrap();
    assert!(s.submit(T0, [2; 16], job(0)).is_ok());
    let mut s = Scheduler::new(Config {
        queued_bytes_max: 100,
        ..Config::default()
    });
    let big = JobSpec {
        payload_bytes: 101,
        ..job(0)
    };
    assert_eq!(
        s.submit(T0, [1; 16], big),
        Err(JobError::FullBytes { limit: 100 })
    );
}

#[test]
fn a_clock_that_jumps_back_keeps_what_was_left() {
    let mut s = machine();
    let id = submit(
        &mut s,
        1,
        JobSpec {
            delay_ms: 60_000,
            ..job(0)
        },
    );
    let past = Timestamp(T0.0 - 500_000);
    s.tick(past);
    assert_eq!(s.next_deadline(), Some(past.plus_ms(60_000)));
    s.tick(past.plus_ms(60_000));
    assert_eq!(s.claim(past.plus_ms(60_000), 0, 1)[0].id, id);
}

#[test]
fn a_batch_does_not_hold_up_the_job_behind_it() {
    let mut s = machine();
    let batch = BatchId::new(T0, [9; 16]);
    let group = s.open_group(2);
    for chunk in 0..100 {
        s.submit_chunk(T0, group, batch, chunk, JobSpec::new(Kind::Chunk, "c"))
            .unwrap();
    }
    let first = s.claim(T0, 0, 9);
    assert_eq!(first.len(), 2, "its concurrency");
    let id = submit(&mut s, 1, job(0));
    s.complete(T0, first[0].id, first[0].token, 0).unwrap();
    let next: Vec<JobId> = s.claim(T0, 0, 9).iter().map(|c| c.id).collect();
    assert_eq!(next, [id, batch.chunk(2)]);
}

#[test]
fn ids_survive_text_and_refuse_others() {
    let batch = BatchId::new(T0, [0xab; 16]);
    for id in [JobId::new(Kind::Job, T0, [1; 16]), batch.chunk(7)] {
        assert_eq!(id.to_string().parse(), Ok(id));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        let packed = rmp_serde::to_vec(&id).unwrap();
        assert_eq!(rmp_serde::from_slice::<JobId>(&packed).unwrap(), id);
    }
    assert_eq!(batch.to_string().parse(), Ok(batch));
    for text in [
        "",
        "job",
        "job_1_",
        "job_+1_00000000000000000000000000000000",
        "batch_1_0",
    ] {
        assert_eq!(text.parse::<JobId>(), Err(ParseIdError), "{text}");
    }
    assert_eq!(
        batch.to_string().parse::<JobId>(),
        Err(ParseIdError),
        "a batch is no job"
    );
}

#[test]
fn a_job_costs_what_the_docs_say() {
    let bytes = size_of::<super::scheduler::Job>();
    assert!(bytes <= 340, "{bytes}");
}
