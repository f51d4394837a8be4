//! The load balancer's file of `deploy`, run by HAProxy before two servers and their Redis.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, body::Incoming};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::cluster::{Cluster, Options, Server, free_port};

/// Requests in a second from one address, as the tests set it.
const CLIENT_RATE: usize = 400;
/// Longest time for anything to become true.
const PATIENCE: Duration = Duration::from_secs(20);

/// HAProxy before the servers of a cluster.
struct Balancer {
    front: Server,
    _child: Child,
}

impl Balancer {
    async fn start(cluster: &Cluster) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/haproxy.cfg");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let child = Command::new("haproxy")
            .args(["-q", "-db", "-f"])
            .arg(file)
            .env("SOMMOS_BIND", address.to_string())
            .env("SOMMOS_SERVER_A", cluster.servers[0].address.to_string())
            .env("SOMMOS_SERVER_B", cluster.servers[1].address.to_string())
            .env("SOMMOS_CLIENT_RATE", CLIENT_RATE.to_string())
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("haproxy is installed (apt-get install haproxy)");
        let front = cluster.servers[0].at(address);
        let began = Instant::now();
        while front.call(Method::GET, "cache/stats", None).await.is_none() {
            assert!(began.elapsed() < PATIENCE, "HAProxy does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self {
            front,
            _child: child,
        }
    }
}

/// One request with a cookie, and the answer as it begins to come.
async fn ask(front: &Server, path: &str, body: Option<Value>, cookie: &str) -> Response<Incoming> {
    let uri = format!("http://{}/api/performance/{path}", front.address);
    let request = Request::builder()
        .method(if body.is_some() { "POST" } else { "GET" })
        .uri(uri)
        .header("content-type", "application/json")
        .header("cookie", cookie)
        .body(Full::new(
            body.map_or_else(Bytes::new, |b| Bytes::from(b.to_string())),
        ))
        .unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    client.request(request).await.unwrap()
}

fn cookie_of(response: &Response<Incoming>) -> String {
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// Reads a stream of events until one tells of this job.
async fn event_of(stream: &mut Incoming, job: &str) {
    let mut text = String::new();
    let began = Instant::now();
    while !text.contains(job) {
        let frame = tokio::time::timeout(PATIENCE, stream.frame()).await;
        let frame = frame.expect("an event").expect("an open stream").unwrap();
        text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
        assert!(began.elapsed() < PATIENCE, "no event of {job}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_balancer_two_servers_are_one() {
    let cluster = Cluster::start(2, &Options::default()).await;
    let Balancer { front, _child } = Balancer::start(&cluster).await;
    // Through it, and seen on both.
    front.set("k", &json!("v"), json!({})).await;
    for server in &cluster.servers {
        assert_eq!(server.get("k").await, Some(json!("v")));
    }
    // Whom it asks, it tells in the cookie of a client that has none.
    let mut asked = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let response = ask(&front, "cache/get/k", None, "").await;
        assert_eq!(response.status(), 200);
        asked.insert(cookie_of(&response));
    }
    assert_eq!(asked.len(), 2, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_balancer_events_come_as_they_happen() {
    let cluster = Cluster::start(2, &Options::default()).await;
    let Balancer { front, _child } = Balancer::start(&cluster).await;
    // A browser's cookie keeps it with the server whose events it reads.
    let response = ask(&front, "events", None, "").await;
    assert_eq!(response.status(), 200);
    let cookie = cookie_of(&response);
    let mut stream = response.into_body();
    for round in 0..3 {
        let data = json!({"dataset": [{"round": round}], "operations": []});
        let job = json!({"jobType": "data_processing", "data": data});
        let answer = ask(&front, "async/job", Some(job), &cookie).await;
        assert_eq!(answer.status(), 200);
        let answer = answer.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        event_of(&mut stream, answer["data"]["jobId"].as_str().unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_balancer_a_server_may_be_killed() {
    let cluster = Cluster::start(2, &Options::default()).await;
    let Balancer { front, _child } = Balancer::start(&cluster).await;
    front.set("k", &json!("v"), json!({})).await;
    let (mut reads, mut slowest) = (0, Duration::ZERO);
    let began = Instant::now();
    let mut killed = false;
    while began.elapsed() < Duration::from_secs(4) {
        if !killed && began.elapsed() > Duration::from_secs(1) {
            cluster.servers[1].signal(rustix::process::Signal::KILL);
            killed = true;
        }
        let asked = Instant::now();
        assert_eq!(
            front.get("k").await,
            Some(json!("v")),
            "after {reads} reads"
        );
        slowest = slowest.max(asked.elapsed());
        reads += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("{reads} reads over a killed server, none failed, slowest {slowest:?}");
    // Writes, too.
    front.set("k", &json!("w"), json!({})).await;
    assert_eq!(front.get("k").await, Some(json!("w")));
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_balancer_a_client_has_a_limit() {
    let cluster = Cluster::start(2, &Options::default()).await;
    let Balancer { front, _child } = Balancer::start(&cluster).await;
    let asks = (0..4 * CLIENT_RATE).map(|_| {
        let front = front.clone();
        tokio::spawn(async move { front.call(Method::GET, "cache/stats", None).await.unwrap() })
    });
    let mut refused: Option<Value> = None;
    for ask in asks.collect::<Vec<_>>() {
        let (status, body) = ask.await.unwrap();
        match status.as_u16() {
            200 => {}
            429 => refused = Some(body),
            other => panic!("{other}: {body}"),
        }
    }
    assert_eq!(refused.expect("some are refused")["code"], "RATE_LIMITED");
}
