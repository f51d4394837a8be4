//! Profiles of a server at work: they name our functions, and disturb neither the queue's database
//! nor the children of the sandbox.

#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
// A test may unwrap: a panic there is the report.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use sommos_server::{app::Parts, config::Config, server::Server};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
};

const PROFILE: &str = "/api/performance/monitoring/profile";

/// Head and body of an answer.
async fn ask(address: SocketAddr, method: &str, path: &str, body: Value) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

async fn done(address: SocketAddr, path: &str) -> Value {
    loop {
        let (_, body) = ask(address, "GET", path, Value::Null).await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        match answer["data"]["status"].as_str().unwrap() {
            "queued" | "running" | "processing" => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            _ => return answer["data"].clone(),
        }
    }
}

/// Multiplies matrices, one after the other.
async fn multiply(address: SocketAddr, until: Arc<AtomicBool>) -> usize {
    let row: Vec<usize> = (0..96).collect();
    let matrix = vec![row; 96];
    let data = json!({"matrixA": matrix, "matrixB": matrix});
    let mut count = 0;
    while !until.load(Ordering::Relaxed) {
        let task = json!({"jobType": "matrix_multiplication", "data": data});
        let (_, body) = ask(address, "POST", "/api/performance/async/job", task).await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        let id = answer["data"]["jobId"].as_str().unwrap();
        let job = done(address, &format!("/api/performance/async/job/{id}")).await;
        assert_eq!(job["status"], "completed", "{job}");
        assert_eq!(job["attempts"], 1, "{job}");
        count += 1;
    }
    count
}

/// Runs processors in children, one after the other.
async fn process(address: SocketAddr, until: Arc<AtomicBool>) -> usize {
    let mut count = 0;
    while !until.load(Ordering::Relaxed) {
        let batch = json!({
            "data": [1, 2, 3], "processor": "items => items.map(x => x * 2)",
        });
        let (_, body) = ask(address, "POST", "/api/performance/batch/process", batch).await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        let id = answer["data"]["batchId"].as_str().unwrap();
        let path = format!("/api/performance/batch/{id}");
        let batch = done(address, &path).await;
        assert_eq!(batch["status"], "completed", "{batch}");
        let (_, body) = ask(address, "GET", &format!("{path}/results"), Value::Null).await;
        assert!(body.contains("[2,4,6]"), "{body}");
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_names_what_runs_and_disturbs_nothing() {
    let folder = std::env::temp_dir().join(format!("sommos-profile-{}", std::process::id()));
    let program = Path::new(env!("CARGO_BIN_EXE_sommos-server"));
    let parts = Parts {
        sandbox_program: Some(program.to_owned()),
        ..Parts::default()
    };
    let server = Server::bind(Config::for_tests(folder.clone()), parts)
        .await
        .unwrap();
    let address = server.address;
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    let over = Arc::new(AtomicBool::new(false));
    let multiplied = tokio::spawn(multiply(address, Arc::clone(&over)));
    let processed = tokio::spawn(process(address, Arc::clone(&over)));

    let path = format!("{PROFILE}?seconds=3");
    let profile = || ask(address, "GET", &path, Value::Null);
    let (first, second) = tokio::join!(profile(), profile());
    // Of two at a time one is told to come again, unless it came after the other.
    let ((head, svg), other) = match first.0.starts_with("HTTP/1.1 200") {
        true => (first, second),
        false => (second, first),
    };
    if !other.0.starts_with("HTTP/1.1 200") {
        assert!(other.0.starts_with("HTTP/1.1 429"), "{}", other.0);
        assert!(other.1.contains("being taken already"), "{}", other.1);
    }
    over.store(true, Ordering::Relaxed);
    assert!(multiplied.await.unwrap() > 0 && processed.await.unwrap() > 0);

    assert!(head.starts_with("HTTP/1.1 200"), "{head}: {svg}");
    assert!(head.contains("content-type: image/svg+xml"), "{head}");
    assert!(
        head.contains("content-security-policy: default-src 'none'"),
        "{head}"
    );
    assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    assert!(svg.starts_with("<?xml") && svg.trim_end().ends_with("</svg>"));
    assert!(
        svg.contains("sommos_server::"),
        "no function of the server is named"
    );

    for seconds in ["0", "61", "x"] {
        let path = format!("{PROFILE}?seconds={seconds}");
        let (head, body) = ask(address, "GET", &path, Value::Null).await;
        assert!(head.starts_with("HTTP/1.1 400"), "{head}: {body}");
    }
    drop(stop);
    served.await.unwrap().unwrap();
    let _ = std::fs::remove_dir_all(&folder);
}
