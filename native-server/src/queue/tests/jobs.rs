//! The life of single jobs.

use super::*;

#[tokio::test]
async fn results_survive_a_restart() {
    let f = Fixture::new("restart");
    let large = "x".repeat(100_000);
    let queue = f.open();
    let small = queue.submit(job("echo", "hello")).await.unwrap().id;
    let big = queue.submit(job("echo", &large)).await.unwrap().id;
    until(&queue, small, Status::Completed).await;
    until(&queue, big, Status::Completed).await;
    queue.drain(Duration::from_secs(5)).await;
    assert!(matches!(queue.job(small).await, Err(QueueError::Closed)));
    drop(queue);
    let queue = f.open();
    assert_eq!(
        queue.job(small).await.unwrap().record.state.status,
        Status::Completed
    );
    assert_eq!(queue.result(small).await.unwrap().unwrap(), "hello");
    assert_eq!(queue.result(big).await.unwrap().unwrap(), large);
    assert_eq!(f.handlers.runs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_cancelled_job_stops_and_its_report_is_refused() {
    let f = Fixture::new("cancel");
    let queue = f.open();
    let id = queue.submit(job("loop", "")).await.unwrap().id;
    until(&queue, id, Status::Running).await;
    assert!(queue.cancel(id).await.unwrap());
    assert_eq!(
        queue.job(id).await.unwrap().record.state.status,
        Status::Cancelled
    );
    while f.handlers.busy.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    let again = queue.submit(job("echo", "")).await.unwrap().id;
    until(&queue, again, Status::Completed).await;
    assert_eq!(
        queue.job(id).await.unwrap().record.state.status,
        Status::Cancelled
    );
    let ended = JobError::Ended {
        id,
        status: Status::Cancelled,
    };
    assert_eq!(queue.cancel(id).await.unwrap_err().job(), Some(&ended));
}

#[tokio::test]
async fn a_timeout_fails_the_attempt_and_the_next_one_follows() {
    let f = Fixture::new("timeout");
    let queue = f.open();
    let mut new = job("loop", "");
    new.spec.timeout_ms = 500;
    let id = queue.submit(new).await.unwrap().id;
    until(&queue, id, Status::Running).await;
    f.pass(&queue, 500);
    let waiting = until(&queue, id, Status::Queued).await;
    assert_eq!(
        waiting.state.error.as_deref(),
        Some("timed out after 500 ms")
    );
    f.pass(&queue, 1000);
    until(&queue, id, Status::Running).await;
    f.pass(&queue, 500);
    assert!(until(&queue, id, Status::Failed).await.state.dead);
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt() {
    let f = Fixture::new("panic");
    let queue = f.open();
    let mut new = job("panic", "");
    new.spec.max_attempts = 1;
    let id = queue.submit(new).await.unwrap().id;
    let record = until(&queue, id, Status::Failed).await;
    assert_eq!(record.state.error.as_deref(), Some("panicked: a bug"));
    assert_eq!(record.state.code.as_deref(), Some("PANICKED"));
}

#[tokio::test]
async fn events_come_in_order_and_can_be_taken_up_again() {
    let f = Fixture::new("events");
    let queue = f.open();
    let mut live = queue.events(None).live;
    let id = queue.submit(job("echo", "")).await.unwrap().id;
    let mut names = Vec::new();
    let mut last = 0;
    while names.len() < 3 {
        let event = live.recv().await.unwrap();
        assert_eq!(event.seq, last + 1);
        last = event.seq;
        assert_eq!(event.fields()["id"], id.to_string());
        names.push(event.name());
    }
    assert_eq!(names, ["jobQueued", "jobStarted", "jobCompleted"]);
    let again = queue.events(Some(1));
    assert_eq!(again.past.iter().map(|e| e.seq).collect::<Vec<_>>(), [2, 3]);
    assert!(!again.gap && queue.events(Some(99)).gap);
}

#[tokio::test]
async fn a_key_is_stored_once_and_found_after_a_restart() {
    let f = Fixture::new("key");
    let queue = f.open();
    let mut new = job("echo", "");
    new.spec.idempotency_key = Some("k".into());
    let first = queue.submit(new.clone()).await.unwrap();
    assert!(queue.submit(new.clone()).await.unwrap().deduplicated);
    drop(queue);
    let again = f.open().submit(new).await.unwrap();
    assert!(again.deduplicated && again.id == first.id);
}
