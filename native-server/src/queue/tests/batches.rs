//! Batches.

use super::*;

#[tokio::test]
async fn a_bad_chunk_fails_alone() {
    let f = Fixture::new("chunks");
    let queue = f.open();
    let chunks = ["0", "1", "2"]
        .map(|c| (Bytes::from_static(c.as_bytes()), 10))
        .to_vec();
    let options = BatchOptions {
        job_type: "bad".into(),
        ..BatchOptions::default()
    };
    let id = queue
        .submit_batch(NewBatch {
            options,
            params: Bytes::new(),
            chunks,
        })
        .await
        .unwrap();
    let book = batch_ended(&queue, id).await;
    assert_eq!((book.status, book.failed_chunks), (Status::Completed, 1));
    assert_eq!(book.errors[0].chunk, 1);
    let results = queue.batch_results(id, 0, 10).await.unwrap();
    let outcomes: Vec<_> = results.into_iter().map(|r| r.outcome).collect();
    let bad = Err("row 3 has no id".to_owned());
    assert_eq!(outcomes, [Ok(Bytes::from("0")), bad, Ok(Bytes::from("2"))]);
    assert_eq!(queue.batch_results(id, 2, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_batch_keeps_its_concurrency_and_survives_a_restart() {
    let mut f = Fixture::new("concurrency");
    f.config.max_workers = 4;
    let queue = f.open();
    let options = BatchOptions {
        job_type: "gate".into(),
        max_concurrency: 2,
        max_attempts: 3,
        ..BatchOptions::default()
    };
    let chunks = (0..6).map(|_| (Bytes::new(), 1)).collect();
    let id = queue
        .submit_batch(NewBatch {
            options,
            params: Bytes::new(),
            chunks,
        })
        .await
        .unwrap();
    while queue.metrics().await.unwrap().chunks.active < 2 {
        tokio::task::yield_now().await;
    }
    let metrics = queue.metrics().await.unwrap();
    assert_eq!(
        (metrics.chunks.active, metrics.pool.threads),
        (2, 2),
        "with four workers allowed"
    );
    drop(queue);
    f.handlers.open_gate();
    let queue = f.open();
    let book = batch_ended(&queue, id).await;
    assert_eq!((book.status, book.completed_chunks), (Status::Completed, 6));
    assert!(
        f.handlers.busiest.load(Ordering::SeqCst) <= 4,
        "two of each process"
    );
}

#[tokio::test]
async fn a_streamed_batch_runs_while_it_grows_and_an_abandoned_one_fails() {
    let f = Fixture::new("streamed");
    let queue = f.open();
    let options = BatchOptions {
        job_type: "params".into(),
        ..BatchOptions::default()
    };
    let id = queue
        .open_batch(options.clone(), Bytes::from_static(b"p"))
        .await
        .unwrap();
    assert_eq!(
        queue
            .append_chunk(id, Bytes::from_static(b"0"), 1)
            .await
            .unwrap(),
        0
    );
    while queue.batch(id).await.unwrap().completed_chunks == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        queue
            .append_chunk(id, Bytes::from_static(b"1"), 1)
            .await
            .unwrap(),
        1
    );
    queue.seal_batch(id).await.unwrap();
    assert_eq!(batch_ended(&queue, id).await.status, Status::Completed);
    let results = queue.batch_results(id, 1, 1).await.unwrap();
    assert_eq!(results[0].outcome.as_deref(), Ok(&b"p1"[..]));
    let open = queue.open_batch(options, Bytes::new()).await.unwrap();
    drop(queue);
    assert_eq!(batch_ended(&f.open(), open).await.status, Status::Failed);
}
