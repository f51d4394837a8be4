//! What the queue acknowledged is still there after its process was killed.

// A test may unwrap: a panic there is the report.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use sommos_core::jobs::{JobId, JobSpec, Kind, Status};
use sommos_server::queue::{Executor, Failure, NewJob, Queue, QueueConfig, Work, WorkControl};

/// Names the database to the child, which is this same test.
const CHILD: &str = "QUEUE_KILL_DATABASE";
const SUBMITTERS: usize = 16;

struct Echo;

impl Executor for Echo {
    fn run(&self, work: &Work, _control: &WorkControl) -> Result<Bytes, Failure> {
        Ok(work.payload.clone())
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Submits for ever and prints what was acknowledged.
fn child(path: PathBuf) {
    let queue = Queue::open(QueueConfig::new(path), Arc::new(Echo)).unwrap();
    runtime().block_on(async {
        let submitters = (0..SUBMITTERS).map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move {
                loop {
                    let spec = JobSpec::new(Kind::Job, "echo");
                    let payload = Bytes::from_static(b"payload");
                    let submitted = queue
                        .submit(NewJob {
                            spec,
                            payload,
                            here: false,
                        })
                        .await
                        .unwrap();
                    println!("ack {}", submitted.id);
                }
            })
        });
        futures_util::future::join_all(submitters).await;
    });
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    if let Some(path) = std::env::var_os(CHILD) {
        return child(path.into());
    }
    let folder = std::env::temp_dir().join(format!("queue-kill-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("queue.db");
    let mut acknowledged: Vec<JobId> = Vec::new();
    // Three lives over one database, each killed in the middle of its work.
    for _ in 0..3 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "nothing_acknowledged_is_lost_when_the_process_is_killed",
            ])
            .args(["--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let acks = lines.map_while(Result::ok).filter_map(|line| {
            let id = line.split_once("ack ")?.1.to_owned();
            id.parse::<JobId>().ok()
        });
        acknowledged.extend(acks.take(300));
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert_eq!(acknowledged.len(), 900);
    let queue = Queue::open(QueueConfig::new(&path), Arc::new(Echo)).unwrap();
    runtime().block_on(async {
        for id in acknowledged {
            loop {
                let record = queue.job(id).await.expect("acknowledged").record;
                if record.state.status == Status::Completed {
                    break;
                }
                assert!(!record.state.status.ended(), "{record:?}");
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            assert_eq!(queue.result(id).await.unwrap().unwrap(), "payload");
        }
    });
    drop(queue);
    std::fs::remove_dir_all(&folder).unwrap();
}
