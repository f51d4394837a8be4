//! Handlers hear of events in the order of their priority.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sommos_core::jobs::{JobSpec, Kind};
use sommos_server::{app::Parts, config::Config, queue::NewJob, server::Server};
use tokio::sync::mpsc;

#[tokio::test]
async fn a_failed_job_is_heard_by_priority_even_when_a_handler_panics() {
    let dir = std::env::temp_dir().join(format!("sommos-handlers-{}", std::process::id()));
    let parts = Parts {
        clock: None,
        sandbox_program: Some(env!("CARGO_BIN_EXE_sommos-server").into()),
    };
    let server = Server::bind(Config::for_tests(dir.clone()), parts)
        .await
        .unwrap();
    let app = Arc::clone(&server.app);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (done, mut last) = mpsc::channel(1);
    for (name, priority) in [("low", 0), ("panics", 5), ("high", 10)] {
        let (heard, done) = (Arc::clone(&heard), done.clone());
        let handler = move |_: &_, event: &sommos_server::queue::Event| {
            heard.lock().unwrap().push((name, event.name()));
            assert_ne!(name, "panics");
            if name == "low" {
                let _ = done.try_send(());
            }
        };
        app.handlers.on("jobFailed", priority, handler).unwrap();
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    // The dispatcher must have subscribed before the job fails.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let spec = JobSpec {
        max_attempts: 1,
        ..JobSpec::new(Kind::Job, "no_such_type")
    };
    app.queue
        .submit(NewJob {
            spec,
            payload: Bytes::from_static(b"J{}"),
            here: false,
        })
        .await
        .unwrap();
    last.recv().await.unwrap();
    let wanted = [
        ("high", "jobFailed"),
        ("panics", "jobFailed"),
        ("low", "jobFailed"),
    ];
    assert_eq!(*heard.lock().unwrap(), wanted);
    drop(app);
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    std::fs::remove_dir_all(dir).unwrap();
}
