//! The server over real connections: what HTTP itself asks for, whatever the call.

// A test may unwrap: a panic there is the report.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sommos_core::{
    compress::{Codec, OutputLimits, decompress},
    control::Unstoppable,
    limits::Limits,
    time::Timestamp,
};
use sommos_server::{app::Parts, config::Config, server::Server};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

const LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
const DOCUMENT: &str = "/api/openapi.json";

/// A server in a folder of its own, removed at the end.
struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<anyhow::Result<()>>,
    folder: PathBuf,
}

impl Running {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "sommos-http-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        let mut config = Config::for_tests(folder.clone());
        change(&mut config);
        // A clock that stands: no bucket refills while a test runs.
        let parts = Parts {
            clock: Some(Arc::new(|| Timestamp(1_700_000_000_000))),
            ..Parts::default()
        };
        let server = Server::bind(config, parts).await.unwrap();
        let address = server.address;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self {
            address,
            stop: Some(stop),
            served,
            folder,
        }
    }

    async fn client(&self) -> Client {
        Client(BufReader::new(
            TcpStream::connect(self.address).await.unwrap(),
        ))
    }

    /// One request on a connection of its own.
    async fn ask(&self, request: &str) -> Answer {
        let mut client = self.client().await;
        client.send(request).await;
        client.answer().await
    }

    async fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask(&get(path, headers)).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.served.abort();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n")
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

fn set(key: &str) -> String {
    let body = format!(r#"{{"key":"{key}","value":1}}"#);
    post("/api/performance/cache/set", "", &body)
}

struct Client(BufReader<TcpStream>);

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    async fn send(&mut self, bytes: &str) {
        self.0.get_mut().write_all(bytes.as_bytes()).await.unwrap();
    }

    async fn head(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let n = self.0.read_line(&mut head).await.unwrap();
            assert!(n > 0, "the connection ended after {head:?}");
        }
        Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body: Vec::new(),
        }
    }

    async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = self.chunks().await;
        } else if let Some(length) = answer.header("content-length") {
            answer.body = vec![0; length.parse().unwrap()];
            self.0.read_exact(&mut answer.body).await.unwrap();
        }
        answer
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            self.0.read_exact(&mut chunk).await.unwrap();
            if size == 0 {
                return body;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    /// Waits until the server closes; what it still sent is dropped.
    async fn closed(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = self.0.read_to_end(&mut rest).await;
    }
}

#[tokio::test]
async fn requests_of_one_connection_are_answered_in_order() {
    let server = Running::start(|_| {}).await;
    let mut client = server.client().await;
    let read = |key| get(&format!("/api/performance/cache/get/{key}"), "");
    client
        .send(&[set("a"), read("a"), read("b"), LIVE.to_owned()].concat())
        .await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(client.answer().await.text(), r#"{"success":true,"data":1}"#);
    assert_eq!(client.answer().await.status, 404);
    assert_eq!(client.answer().await.status, 200);
    // And one after all were answered.
    client.send(LIVE).await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let server = Running::start(|_| {}).await;
    let whole = server.ask(LIVE).await;
    let mut client = server.client().await;
    client.send(&LIVE.replace("GET", "HEAD")).await;
    let head = client.head().await;
    assert_eq!(head.status, 200);
    let length = whole.body.len().to_string();
    assert_eq!(head.header("content-length"), Some(&*length));
    // A body would be taken for the next answer.
    client.send(LIVE).await;
    assert_eq!(client.answer().await.body, whole.body);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_ends_the_connection() {
    let server = Running::start(|config| config.limit.push("bodyBytes=1000".to_owned())).await;
    let path = "/api/performance/cache/set";
    let announced = post(path, "", &"x".repeat(5000));
    let chunked = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1388\r\n{}\r\n",
        "x".repeat(5000)
    );
    for request in [announced, chunked] {
        let mut client = server.client().await;
        client.send(&request).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 413, "{}", answer.text());
        assert_eq!(answer.header("connection"), Some("close"));
        client.closed().await;
    }
}

#[tokio::test]
async fn only_listed_origins_are_allowed() {
    let listed = "https://yacht.example";
    let server = Running::start(|config| config.cors_origin.push(listed.to_owned())).await;
    let preflight = |origin| {
        format!(
            "OPTIONS /api/performance/cache/set HTTP/1.1\r\nhost: x\r\norigin: {origin}\r\n\
             access-control-request-method: POST\r\n\r\n"
        )
    };
    let other = server.ask(&preflight("https://other.example")).await;
    assert_eq!(other.status, 204);
    assert_eq!(other.header("access-control-allow-origin"), None);
    let answer = server.ask(&preflight(listed)).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(listed));
    assert!(answer.header("access-control-allow-methods").is_some());
    let headers = format!("origin: {listed}\r\n");
    let answer = server.get("/health/live", &headers).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(listed));
    assert_eq!(answer.header("vary"), Some("origin"));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_503() {
    let server = Running::start(|config| config.request_timeout_ms = 50).await;
    let request =
        "POST /api/performance/cache/set HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n";
    let answer = server.ask(request).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("REQUEST_TIMEOUT"));
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn a_stream_whose_body_does_not_go_on_ends_at_its_deadline() {
    let server = Running::start(|config| config.batch_timeout_ms = 1000).await;
    let mut client = server.client().await;
    client
        .send(
            "POST /api/performance/batch/process HTTP/1.1\r\nhost: x\r\n\
             content-type: application/x-ndjson\r\ncontent-length: 99\r\n\r\n{}\n",
        )
        .await;
    let answer = client.answer().await;
    assert!(answer.text().contains("$error"), "{}", answer.text());
}

#[tokio::test]
async fn too_many_requests_are_429() {
    let server = Running::start(|config| config.rate_limit = Some(1)).await;
    // The burst is twice the rate.
    for _ in 0..2 {
        assert_eq!(server.ask(LIVE).await.status, 200);
    }
    let answer = server.ask(LIVE).await;
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn tokens_are_asked_for_and_have_scopes() {
    let folder = std::env::temp_dir().join(format!("sommos-tokens-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("tokens");
    std::fs::write(&file, "reader-0123456789 read\nwriter-0123456789 write\n").unwrap();
    let server = Running::start(|config| config.tokens_file = Some(file)).await;
    std::fs::remove_dir_all(&folder).unwrap();
    let path = "/api/performance/cache/set";
    let body = r#"{"key":"a","value":1}"#;
    let answer = server.ask(&post(path, "", body)).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    for (token, status) in [("reader", 403), ("writer", 200), ("nobody", 401)] {
        let headers = format!("authorization: Bearer {token}-0123456789\r\n");
        assert_eq!(server.ask(&post(path, &headers, body)).await.status, status);
    }
    assert_eq!(server.ask(LIVE).await.status, 200);
}

#[tokio::test]
async fn a_tag_that_the_client_has_is_304() {
    let server = Running::start(|_| {}).await;
    for coding in ["identity", "gzip"] {
        let accept = format!("accept-encoding: {coding}\r\n");
        let first = server.get(DOCUMENT, &accept).await;
        let tag = first.header("etag").unwrap();
        // Coded bytes differ from plain ones: only a weak tag may stand for both.
        assert_eq!(tag.starts_with("W/"), coding == "gzip", "{tag}");
        let headers = format!("{accept}if-none-match: \"other\", {tag}\r\n");
        let again = server.get(DOCUMENT, &headers).await;
        assert_eq!(again.status, 304);
        assert_eq!(again.header("vary"), Some("accept-encoding"));
        assert!(again.body.is_empty());
    }
    let headers = "if-none-match: \"other\"\r\n";
    assert_eq!(server.get(DOCUMENT, headers).await.status, 200);
}

#[tokio::test]
async fn answers_are_coded_as_the_client_can_read_them() {
    let server = Running::start(|_| {}).await;
    let plain = server.get(DOCUMENT, "").await;
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.header("vary"), Some("accept-encoding"));
    let refused = "accept-encoding: gzip;q=0\r\n";
    let refused = server.get(DOCUMENT, refused).await;
    assert_eq!(refused.header("content-encoding"), None);
    let codings = [
        ("zstd", Codec::Zstd),
        ("gzip", Codec::Gzip),
        ("br", Codec::Brotli),
    ];
    for (name, codec) in codings {
        let answer = server
            .get(DOCUMENT, &format!("accept-encoding: {name}\r\n"))
            .await;
        assert_eq!(answer.header("content-encoding"), Some(name));
        assert_eq!(answer.header("vary"), Some("accept-encoding"));
        assert!(answer.body.len() < plain.body.len());
        let limits = OutputLimits::from(&Limits::default());
        let decoded = decompress(codec, &answer.body, &limits, &Unstoppable).unwrap();
        assert_eq!(decoded, plain.body);
    }
}

#[tokio::test]
async fn ndjson_streams_through() {
    let server = Running::start(|_| {}).await;
    let path = "/api/performance/batch/process?batchSize=2";
    let headers = "content-type: application/x-ndjson\r\n";
    let body = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";
    let answer = server.ask(&post(path, headers, body)).await;
    assert_eq!(answer.text(), body.replace('}', ",\"processed\":true}"));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_off() {
    let server = Running::start(|config| config.header_timeout_ms = 50).await;
    let mut slow = server.client().await;
    slow.send("GET /health/live HTT").await;
    slow.closed().await;
    let mut idle = server.client().await;
    idle.send(LIVE).await;
    assert_eq!(idle.answer().await.status, 200);
    idle.closed().await;
}

#[tokio::test]
async fn connections_over_the_limit_wait() {
    let server = Running::start(|config| config.max_connections = 1).await;
    let mut first = server.client().await;
    first.send(LIVE).await;
    assert_eq!(first.answer().await.status, 200);
    let mut second = server.client().await;
    second.send(LIVE).await;
    let early = tokio::time::timeout(Duration::from_millis(50), second.answer()).await;
    assert!(early.is_err());
    drop(first);
    assert_eq!(second.answer().await.status, 200);
}

#[tokio::test]
async fn an_idle_connection_does_not_keep_a_server_that_ends() {
    let mut server = Running::start(|config| config.grace_ms = 600_000).await;
    let mut idle = server.client().await;
    idle.send(LIVE).await;
    assert_eq!(idle.answer().await.status, 200);
    server.stop.take().unwrap().send(()).unwrap();
    idle.closed().await;
    (&mut server.served).await.unwrap().unwrap();
}
