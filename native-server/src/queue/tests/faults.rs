//! Deaths, full disks, deaf workers, drains.

use super::*;

#[tokio::test]
async fn a_killed_process_gives_its_jobs_back_with_the_attempt_counted() {
    let f = Fixture::new("killed");
    let queue = f.open();
    let id = queue.submit(job("loop", "")).await.unwrap().id;
    let first = until(&queue, id, Status::Running).await;
    drop(queue);
    let queue = f.open();
    let second = until(&queue, id, Status::Running).await;
    assert_eq!((first.state.attempts, second.state.attempts), (1, 2));
    assert!(second.state.token > first.state.token);
    drop(queue);
    let queue = f.open();
    let dead = until(&queue, id, Status::Failed).await;
    assert!(
        dead.state.dead,
        "a job that kills its process is a dead letter in the end"
    );
    let letters = Filter {
        dead: true,
        ..Filter::default()
    };
    assert_eq!(queue.list(letters, 10).await.unwrap()[0].id, id);
    queue.retry(id).await.unwrap();
    assert_eq!(until(&queue, id, Status::Running).await.state.attempts, 1);
}

#[tokio::test]
async fn a_drain_gives_running_jobs_back_uncounted() {
    let f = Fixture::new("drain");
    let queue = f.open();
    let ids = [job("loop", ""), job("loop", ""), job("echo", "later")].map(|j| queue.submit(j));
    let ids = futures_util::future::join_all(ids).await;
    let ids: Vec<JobId> = ids
        .into_iter()
        .map(|submitted| submitted.unwrap().id)
        .collect();
    until(&queue, ids[0], Status::Running).await;
    queue.drain(Duration::ZERO).await;
    drop(queue);
    let store = store::Store::open(&f.config.path).unwrap();
    for record in store.load().unwrap().records {
        assert_eq!(
            (record.state.status, record.state.attempts),
            (Status::Queued, 0)
        );
    }
}

#[tokio::test]
async fn a_drain_waits_for_what_ends_in_time() {
    let f = Fixture::new("patient");
    let queue = f.open();
    let id = queue.submit(job("gate", "")).await.unwrap().id;
    // What no worker has begun goes back in line at once.
    f.handlers.begun().await;
    let draining = tokio::spawn({
        let queue = queue.clone();
        async move { queue.drain(Duration::from_secs(60)).await }
    });
    f.handlers.open_gate();
    draining.await.unwrap();
    drop(queue);
    let queue = f.open();
    assert_eq!(
        queue.job(id).await.unwrap().record.state.status,
        Status::Completed
    );
}

#[tokio::test]
async fn a_worker_that_ignores_its_interruption_is_replaced() {
    let mut f = Fixture::new("deaf");
    f.config.max_workers = 1;
    f.config.interrupt_grace = Duration::ZERO;
    let queue = f.open();
    let deaf = queue.submit(job("gate", "")).await.unwrap().id;
    // What no worker has begun is cancelled without one.
    f.handlers.begun().await;
    queue.cancel(deaf).await.unwrap();
    let other = queue.submit(job("echo", "")).await.unwrap().id;
    until(&queue, other, Status::Completed).await;
    assert_eq!(queue.metrics().await.unwrap().pool.lost, 1);
    f.handlers.open_gate();
    while queue.metrics().await.unwrap().pool.lost > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_passes() {
    let f = Fixture::new("full");
    let queue = f.open();
    let before = queue.submit(job("echo", "before")).await.unwrap().id;
    until(&queue, before, Status::Completed).await;
    let gated = queue.submit(job("gate", "")).await.unwrap().id;
    until(&queue, gated, Status::Running).await;
    queue.limit_pages(1).await.unwrap();
    let refused = queue.submit(job("echo", &"x".repeat(1 << 20))).await;
    assert!(matches!(refused, Err(QueueError::Store(_))), "{refused:?}");
    assert!(!queue.healthy());
    queue.limit_pages(1 << 30).await.unwrap();
    // What ran goes on, and what it reports counts.
    f.handlers.open_gate();
    let record = until(&queue, gated, Status::Completed).await;
    assert_eq!(record.state.attempts, 1);
    let after = queue.submit(job("echo", "after")).await.unwrap().id;
    until(&queue, after, Status::Completed).await;
    assert!(queue.healthy());
    assert_eq!(
        queue.list(Filter::default(), 10).await.unwrap().len(),
        3,
        "nothing half-done"
    );
}

#[tokio::test]
async fn reports_of_a_failed_round_are_written_later() {
    let f = Fixture::new("again");
    let queue = f.open();
    let id = queue.submit(job("gate", "")).await.unwrap().id;
    until(&queue, id, Status::Running).await;
    queue.read_only(true).await.unwrap();
    f.handlers.open_gate();
    while queue.metrics().await.map_or(1, |m| m.write_failures) == 0 {
        tokio::task::yield_now().await;
    }
    let running = queue.job(id).await;
    assert!(running.is_err() || running.unwrap().record.state.status == Status::Running);
    while queue.read_only(false).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(until(&queue, id, Status::Completed).await.state.attempts, 1);
}

#[tokio::test]
async fn retention_sweeps_rows_and_blobs() {
    let mut f = Fixture::new("retention");
    f.config.retention = Retention {
        age_ms: 1000,
        ..Retention::default()
    };
    let queue = f.open();
    let payload = "x".repeat(5000);
    let id = queue.submit(job("echo", &payload)).await.unwrap().id;
    until(&queue, id, Status::Completed).await;
    let batch = NewBatch {
        options: BatchOptions {
            job_type: "echo".into(),
            ..BatchOptions::default()
        },
        params: Bytes::new(),
        chunks: (0..600).map(|_| (Bytes::from_static(b"c"), 1)).collect(),
    };
    let batch = queue.submit_batch(batch).await.unwrap();
    batch_ended(&queue, batch).await;
    f.pass(&queue, 1001);
    while queue.rows().await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(matches!(
        queue.job(id).await.unwrap_err().job(),
        Some(JobError::NotFound(_))
    ));
    assert!(matches!(
        queue.batch(batch).await.unwrap_err().job(),
        Some(JobError::NoBatch(_))
    ));
}

#[tokio::test]
async fn short_jobs_taken_ahead_do_not_wait_behind_a_long_one() {
    let f = Fixture::new("ahead");
    let queue = f.open();
    // Many short jobs teach the pool to take some ahead.
    let many = (0..500).map(|_| queue.submit(job("echo", "")));
    let many = futures_util::future::join_all(many).await;
    until(&queue, many[499].as_ref().unwrap().id, Status::Completed).await;
    let long = [
        queue.submit(job("gate", "")).await,
        queue.submit(job("gate", "")).await,
    ];
    let short = queue.submit(job("echo", "")).await.unwrap().id;
    // Both workers are in the gate: the short one must come back to the queue.
    while queue.job(short).await.unwrap().record.state.status != Status::Queued {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    f.handlers.open_gate();
    let done = until(&queue, short, Status::Completed).await;
    assert_eq!(done.state.attempts, 1, "going back is no attempt");
    for gate in long {
        until(&queue, gate.unwrap().id, Status::Completed).await;
    }
}
