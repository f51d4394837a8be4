//! A Redis and servers of it, each a process of its own on a free port, in a temporary folder.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::TcpStream,
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
};

/// Longest time for anything to become true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
pub struct Options {
    /// Further flags of the servers.
    pub flags: Vec<&'static str>,
    /// Whether each server reaches Redis through a proxy that can be cut.
    pub proxied: bool,
}

pub struct Cluster {
    pub redis: Redis,
    pub servers: Vec<Server>,
    proxies: Vec<Proxy>,
    folder: PathBuf,
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| Pid::from_raw(id as i32));
    kill_process(pid.expect("it runs"), signal).unwrap();
}

pub struct Redis {
    port: u16,
    folder: PathBuf,
    child: Child,
}

impl Redis {
    async fn start(folder: PathBuf) -> Self {
        let port = free_port();
        let child = Self::spawn(port, &folder);
        let mut redis = Self {
            port,
            folder,
            child,
        };
        redis.ready().await;
        redis
    }

    fn spawn(port: u16, folder: &PathBuf) -> Child {
        Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(folder)
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed (apt-get install redis-server)")
    }

    async fn ready(&mut self) {
        let began = Instant::now();
        loop {
            let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
                let pong: Result<String, _> = redis::cmd("PING").query_async(&mut connection).await;
                if pong.is_ok() {
                    return;
                }
            }
            assert!(began.elapsed() < PATIENCE, "Redis does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub async fn restart(&mut self) {
        self.child = Self::spawn(self.port, &self.folder);
        self.ready().await;
    }

    pub fn signal(&self, what: Signal) {
        signal(&self.child, what);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut asked = redis::cmd(command[0]);
        asked.arg(&command[1..]);
        asked.query_async(&mut connection).await.unwrap()
    }

    /// The number that a command gives; 0 for nothing.
    pub async fn number(&self, command: &[&str]) -> u64 {
        self.ask::<Option<u64>>(command).await.unwrap_or(0)
    }
}

/// A way to Redis that can be cut: then nothing passes and nobody is told.
struct Proxy {
    address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Proxy {
    async fn start(target: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, passing) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let mut passing = passing.clone();
                tokio::spawn(async move {
                    // While it is cut, connections are taken and left without an answer.
                    await_open(&mut passing, true).await;
                    let Ok(mut to) = TcpStream::connect(("127.0.0.1", target)).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut from, &mut to) => {}
                        () = await_open(&mut passing, false) => {
                            // Keeps the connection, silent, until it is mended.
                            await_open(&mut passing, true).await;
                        }
                    }
                });
            }
        });
        Self { address, open }
    }
}

async fn await_open(passing: &mut watch::Receiver<bool>, open: bool) {
    // The sender lives as long as the cluster.
    let _ = passing.wait_for(|state| *state == open).await;
}

#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    pub client: Client<HttpConnector, Full<Bytes>>,
    child: Arc<Child>,
}

impl Server {
    async fn start(redis: &str, folder: PathBuf, loader: &str, flags: &[&str]) -> Self {
        let redis = ["--redis-url", redis];
        let server = Self::spawn(&redis, folder, loader, flags);
        server.eventually_closed().await;
        server
    }

    fn spawn(redis: &[&str], folder: PathBuf, loader: &str, flags: &[&str]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        std::fs::create_dir_all(&folder).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_sommos-server"))
            .args(["--listen", &address.to_string(), "--log", "warn"])
            .args(redis)
            .args(["--cache-loader", loader, "--data-dir"])
            .arg(&folder)
            .args(flags)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            address,
            client,
            child: Arc::new(child),
        }
    }

    pub fn signal(&self, what: Signal) {
        signal(&self.child, what);
    }

    /// What stands at another address and answers as it does.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self {
            address,
            ..self.clone()
        }
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Option<(StatusCode, Value)> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let uri = format!("http://{}/api/performance/{path}", self.address);
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", "application/json")
            .body(Full::new(body))
            .unwrap();
        let response = self.client.request(request).await.ok()?;
        let status = response.status();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// The status and the text of GET of a whole path.
    pub async fn text(&self, path: &str) -> (StatusCode, String) {
        let uri = format!("http://{}{path}", self.address).parse().unwrap();
        let response = self.client.get(uri).await.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// What the server tells as it happens, from now on.
    pub async fn events(&self) -> Arc<Mutex<String>> {
        let uri = format!("http://{}/api/performance/events", self.address);
        let request = Request::builder().uri(uri).body(Full::default()).unwrap();
        let mut body = self.client.request(request).await.unwrap().into_body();
        let heard = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().unwrap_or_default();
                into.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&data));
            }
        });
        heard
    }

    pub async fn set(&self, key: &str, value: &Value, more: Value) {
        let mut body = more;
        body["key"] = json!(key);
        body["value"] = value.clone();
        let (status, answer) = self
            .call(Method::POST, "cache/set", Some(body))
            .await
            .unwrap();
        assert_eq!(status, 200, "{answer}");
    }

    pub async fn get(&self, key: &str) -> Option<Value> {
        let answer = self
            .call(Method::GET, &format!("cache/get/{key}"), None)
            .await;
        let (status, mut answer) = answer.expect("an answer");
        match status.as_u16() {
            200 => Some(answer["data"].take()),
            404 => None,
            _ => panic!("{status}: {answer}"),
        }
    }

    pub async fn get_or_load(&self, key: &str) -> Option<Value> {
        let body = json!({"key": key, "loader": "wines"});
        let (status, mut answer) = self
            .call(Method::POST, "cache/get-or-load", Some(body))
            .await
            .unwrap();
        (status == 200).then(|| answer["data"].take())
    }

    pub async fn delete(&self, key: &str) -> u16 {
        let path = format!("cache/delete/{key}");
        self.call(Method::DELETE, &path, None)
            .await
            .unwrap()
            .0
            .as_u16()
    }

    pub async fn clear(&self) {
        let (status, _) = self
            .call(Method::DELETE, "cache/clear", None)
            .await
            .unwrap();
        assert_eq!(status, 200);
    }

    pub async fn invalidate(&self, tag: &str) {
        let path = format!("cache/tag/{tag}");
        let (status, answer) = self.call(Method::DELETE, &path, None).await.unwrap();
        assert_eq!(status, 200, "{answer}");
    }

    pub async fn distributed(&self) -> Value {
        let answer = self
            .call(Method::GET, "cache/distributed/stats", None)
            .await;
        answer.map_or(Value::Null, |mut answer| answer.1["data"].take())
    }

    pub async fn eventually(&self, key: &str, value: Option<Value>) {
        let began = Instant::now();
        loop {
            let found = self.get(key).await;
            if found == value {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{key}: {found:?} is not {value:?}"
            );
        }
    }

    pub async fn eventually_closed(&self) {
        let began = Instant::now();
        while self.distributed().await["breaker"] != "closed" {
            assert!(began.elapsed() < PATIENCE, "{}", self.distributed().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Cluster {
    pub async fn start(servers: usize, options: &Options) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sommos-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let lines: String = (0..1000)
            .map(|i| {
                format!(
                    "{}\n",
                    json!({"key": format!("wine-{i}"), "value": {"id": i}})
                )
            })
            .collect();
        let file = folder.join("wines.ndjson");
        std::fs::write(&file, lines).unwrap();
        let loader = format!("wines={}", file.display());
        let redis = Redis::start(folder.clone()).await;
        let (mut running, mut proxies) = (Vec::new(), Vec::new());
        for i in 0..servers {
            let mut url = format!("redis://127.0.0.1:{}", redis.port);
            if options.proxied {
                let proxy = Proxy::start(redis.port).await;
                url = format!("redis://{}", proxy.address);
                proxies.push(proxy);
            }
            let own = folder.join(format!("server-{i}"));
            running.push(Server::start(&url, own, &loader, &options.flags).await);
        }
        Self {
            redis,
            servers: running,
            proxies,
            folder,
        }
    }

    /// A server beside the others that knows nothing of Redis.
    pub async fn alone(&self) -> Server {
        let file = self.folder.join("wines.ndjson");
        let loader = format!("wines={}", file.display());
        let server = Server::spawn(&[], self.folder.join("alone"), &loader, &[]);
        let began = Instant::now();
        while server
            .call(Method::GET, "batch/metrics", None)
            .await
            .is_none()
        {
            assert!(began.elapsed() < PATIENCE, "it does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server
    }

    /// Nothing passes between this server and Redis any more.
    pub fn cut(&self, server: usize) {
        self.proxies[server].open.send_replace(false);
    }

    pub fn mend(&self, server: usize) {
        self.proxies[server].open.send_replace(true);
    }

    /// How often the servers read a value from its origin.
    pub async fn loads(&self) -> u64 {
        let mut sum = 0;
        for server in &self.servers {
            sum += server.distributed().await["originLoads"].as_u64().unwrap();
        }
        sum
    }

    /// Reads and writes on all servers, until it is stopped.
    pub fn load(&self, keys: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let workers = (0..8)
            .map(|worker| {
                let server = self.servers[worker % self.servers.len()].clone();
                let stop = Arc::clone(&stop);
                tokio::spawn(async move { work(server, worker, keys, &stop).await })
            })
            .collect();
        Load { stop, workers }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub struct Load {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<Report>>,
}

#[derive(Default)]
pub struct Report {
    pub waits: Vec<Duration>,
    pub failed: usize,
    pub last_writes: HashMap<String, u64>,
}

impl Load {
    pub async fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Report::default();
        for worker in self.workers {
            let report = worker.await.unwrap();
            all.waits.extend(report.waits);
            all.failed += report.failed;
            all.last_writes.extend(report.last_writes);
        }
        all
    }
}

/// One worker writes keys of its own, and reads everyone's.
async fn work(server: Server, worker: usize, keys: usize, stop: &AtomicBool) -> Report {
    let mut report = Report::default();
    let mut round = 0u64;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let began = Instant::now();
        let ok = if round.is_multiple_of(10) {
            let key = format!("own-{worker}-{}", round % 50);
            let body = json!({"key": key, "value": round});
            let answer = server.call(Method::POST, "cache/set", Some(body)).await;
            report.last_writes.insert(key, round);
            answer.is_some_and(|answer| answer.0 == 200)
        } else {
            let key = format!("k{}", round as usize % keys);
            let answer = server
                .call(Method::GET, &format!("cache/get/{key}"), None)
                .await;
            // Redis restarts from its file: the values are there again.
            answer.is_some_and(|answer| answer.0 == 200 || answer.0 == 404)
        };
        report.waits.push(began.elapsed());
        report.failed += usize::from(!ok);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    report
}

pub fn percentile(waits: &mut [Duration], share: f64) -> Duration {
    waits.sort_unstable();
    waits[((waits.len() as f64 * share) as usize).min(waits.len() - 1)]
}
