//! Load tests as jobs of a real server: progress, cancel, limits, and where they must not go.

// A test may unwrap: a panic there is the report.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use sommos_core::time::Timestamp;
use sommos_server::{
    app::{App, Parts},
    config::Config,
    server::Server,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

mod origins;

const LOAD: &str = "/api/performance/test/load";
const START_MS: u64 = 1_700_000_000_000;

/// A server in a folder of its own, removed at the end, with a clock moved by hand.
struct Running {
    app: Arc<App>,
    address: SocketAddr,
    clock: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<anyhow::Result<()>>,
    folder: PathBuf,
}

impl Running {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sommos-loadtest-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let mut config = Config::for_tests(folder.clone());
        change(&mut config);
        let clock = Arc::new(AtomicU64::new(START_MS));
        let moved = Arc::clone(&clock);
        let parts = Parts {
            clock: Some(Arc::new(move || Timestamp(moved.load(Ordering::SeqCst)))),
            ..Parts::default()
        };
        let server = Server::bind(config, parts).await.unwrap();
        let (app, address) = (Arc::clone(&server.app), server.address);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self {
            app,
            address,
            clock,
            stop: Some(stop),
            served,
            folder,
        }
    }

    /// Sends a request without waiting for its answer.
    async fn send(&self, method: &str, path: &str, headers: &str, body: &Value) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.ask_as("", method, path, body).await
    }

    async fn ask_as(&self, headers: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let mut stream = self.send(method, path, headers, &body).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head[9..12].parse().unwrap(),
            serde_json::from_str(body).unwrap(),
        )
    }

    /// Starts a test as a job.
    async fn begin(&self, test: Value) -> String {
        let path = format!("{LOAD}?wait=false");
        let (status, answer) = self.ask("POST", &path, test).await;
        assert_eq!(status, 202, "{answer}");
        answer["data"]["jobId"].as_str().unwrap().to_owned()
    }

    async fn job(&self, id: &str) -> Value {
        let path = format!("/api/performance/async/job/{id}");
        self.ask("GET", &path, Value::Null).await.1["data"].clone()
    }

    /// Waits until a job looks so.
    async fn until(&self, id: &str, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let job = self.job(id).await;
            if fits(&job) {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn cancel(&self, id: &str) {
        let path = format!("/api/performance/async/job/{id}");
        let (status, answer) = self.ask("DELETE", &path, Value::Null).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// The jobs, newest first.
    async fn jobs(&self) -> Vec<Value> {
        let (_, answer) = self
            .ask("GET", "/api/performance/async/jobs", Value::Null)
            .await;
        answer["data"].as_array().unwrap().clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.served.abort();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A target that answers every request alike and remembers their heads.
struct Target {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Target {
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&heads);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                        let head = String::from_utf8_lossy(&bytes[..length]).into_owned();
                        kept.lock().unwrap().push(head);
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                });
            }
        });
        Self { address, heads }
    }

    fn seen(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const AWAY: &str =
    "HTTP/1.1 307 R\r\nlocation: http://169.254.169.254/latest\r\ncontent-length: 0\r\n\r\n";

/// One that only a cancel ends in time.
fn endless() -> Value {
    json!({
        "requests": 1_000_000, "concurrency": 2, "endpoint": "/health/live", "rate": 200,
        "duration": 500_000,
    })
}

fn is(status: &'static str) -> impl Fn(&Value) -> bool {
    move |job| job["status"] == status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_tells_its_progress_and_a_cancel_ends_it_and_frees_its_slot() {
    let server = Running::start(|_| {}).await;
    let id = server.begin(endless()).await;
    let told = |job: &Value| job["progressDetail"]["done"].as_u64() > Some(20);
    let job = server.until(&id, told).await;
    assert_eq!(
        (&job["type"], &job["status"]),
        (&json!("load_test"), &json!("running"))
    );
    assert_eq!(
        (&job["maxAttempts"], &job["attempts"]),
        (&json!(1), &json!(1))
    );
    let detail = &job["progressDetail"];
    assert_eq!(detail["total"], 1_000_000);
    let message = detail["message"].as_str().unwrap();
    assert!(message.contains("a second, p99 "), "{message}");
    assert_eq!(server.jobs().await[0]["progressDetail"]["total"], 1_000_000);

    let mut last = 0;
    for _ in 0..20 {
        let done = server.job(&id).await["progressDetail"]["done"]
            .as_u64()
            .unwrap();
        assert!(done >= last);
        last = done;
    }
    let (status, answer) = server.ask("POST", LOAD, endless()).await;
    assert_eq!(
        (status, &answer["code"]),
        (429, &json!("RATE_LIMITED")),
        "{answer}"
    );
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .starts_with("1 load test runs already")
    );

    server.cancel(&id).await;
    let job = server.job(&id).await;
    assert_eq!(job["status"], "cancelled");
    assert!(job.get("progressDetail").is_none(), "{job}");
    // At once: the next test waits for what winds down.
    let small = json!({"requests": 5, "concurrency": 1, "endpoint": "/health/live"});
    let (status, answer) = server.ask("POST", LOAD, small).await;
    assert_eq!(
        (status, &answer["data"]["successfulRequests"]),
        (200, &json!(5)),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_after_a_cancel() {
    let target = Target::start(FINE).await;
    let origin = format!("http://{}", target.address);
    let listed = origin.clone();
    let server = Running::start(|config| config.load_test_origin.push(listed)).await;
    let mut test = endless();
    test["endpoint"] = format!("{origin}/x").into();
    let id = server.begin(test).await;
    server
        .until(&id, |job| job["progressDetail"]["done"].as_u64() > Some(5))
        .await;
    server.cancel(&id).await;
    // Admitted only when the test before has closed its connections.
    let small = json!({"requests": 1, "concurrency": 1, "endpoint": "/health/live"});
    assert_eq!(server.ask("POST", LOAD, small).await.0, 200);
    let seen = target.seen();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(target.seen(), seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_ends_its_test() {
    let server = Running::start(|_| {}).await;
    let waiting = server.send("POST", LOAD, "", &endless()).await;
    let id = loop {
        match server.jobs().await.first() {
            Some(job) if job["status"] == "running" => {
                break job["id"].as_str().unwrap().to_owned();
            }
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    drop(waiting);
    server.until(&id, is("cancelled")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_caller_learns_that_its_test_was_cancelled() {
    let server = Running::start(|_| {}).await;
    let mut waiting = server.send("POST", LOAD, "", &endless()).await;
    let id = loop {
        match server.jobs().await.first() {
            Some(job) => break job["id"].as_str().unwrap().to_owned(),
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    server.cancel(&id).await;
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 409") && answer.contains("CANCELLED"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_takes_too_long_times_out_and_frees_its_slot() {
    let server = Running::start(|_| {}).await;
    let id = server.begin(endless()).await;
    server.until(&id, is("running")).await;
    // 500 s of the test, 30 s of a request, and what is to spare.
    server.clock.fetch_add(541_000, Ordering::SeqCst);
    server.app.queue.wake();
    let job = server.until(&id, is("failed")).await;
    assert!(job["error"].as_str().unwrap().contains("540000"), "{job}");
    let small = json!({"requests": 5, "concurrency": 1, "endpoint": "/health/live"});
    assert_eq!(server.ask("POST", LOAD, small).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_listens_everywhere_tests_itself() {
    let token = "0123456789abcdef";
    let mut server = Running::start(|config| {
        config.listen = SocketAddr::from(([0, 0, 0, 0], 0));
        config.token = Some(token.to_owned());
    })
    .await;
    server.address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    let headers = format!("authorization: Bearer {token}\r\n");
    let test = json!({"requests": 5, "concurrency": 1, "endpoint": "/health/live"});
    let (status, answer) = server.ask_as(&headers, "POST", LOAD, test).await;
    assert_eq!(
        (status, &answer["data"]["successfulRequests"]),
        (200, &json!(5)),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_a_test() {
    let mut server = Running::start(|config| config.grace_ms = 600_000).await;
    let id = server.begin(endless()).await;
    server.until(&id, is("running")).await;
    let app = Arc::clone(&server.app);
    server.stop = None;
    (&mut server.served).await.unwrap().unwrap();
    assert!(app.is_draining());
}
