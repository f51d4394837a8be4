//! Prometheus itself reads /metrics: `cargo test -p sommos-server --test prometheus`. It needs
//! `prometheus` and `promtool` of Debian's package prometheus, which `cargo xtask setup` installs.

// A test may unwrap: a panic there is the report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use support::{Folder, Server, until};

fn program(name: &str) -> Command {
    let found = Command::new(name).arg("--version").output();
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "{name} is not here: run `cargo xtask setup`, or `apt-get install prometheus`"
    );
    Command::new(name)
}

/// Something of everything: cache, jobs that end well and badly, tasks.
fn load(server: &Server) {
    let post = |path: &str, body: &str| {
        let path = format!("/api/performance/{path}");
        let (status, _, answer) = server.ask("POST", &path, "", body);
        assert!((200..300).contains(&status), "{path}: {answer}");
    };
    post("cache/set", r#"{"key":"a","value":[1,2,3]}"#);
    server.ask("GET", "/api/performance/cache/get/a", "", "");
    server.ask("GET", "/api/performance/cache/get/b", "", "");
    server.ask("GET", "/nowhere", "", "");
    // The second cannot be worked on.
    for value in ["4", "\"x\""] {
        let operations = r#"[{"type":"transform","transform":{"a":{"type":"sqrt"}}}]"#;
        let data = format!(r#"{{"dataset":[{{"a":{value}}}],"operations":{operations}}}"#);
        let job = format!(r#"{{"jobType":"data_processing","data":{data}}}"#);
        post("async/job", &job);
    }
    let error = r#"{"kind":"error","name":"a\"b\\c\nd","message":"x"}"#;
    let metrics = format!(r#"{{"metrics":[{{"name":"lcp","value":1200}},{error}]}}"#);
    post("metrics", &metrics);
}

#[test]
fn promtool_finds_nothing_wrong() {
    let mut promtool = program("promtool");
    let folder = Folder::new("promtool");
    let flags = [
        "--monitoring-interval-ms",
        "100",
        "--alert-webhook",
        "http://127.0.0.1:9/",
        "--otlp-endpoint",
        "http://127.0.0.1:9",
    ];
    let server = Server::start(folder.path(), &flags);
    load(&server);
    until("two samples", || {
        (server.metric("sommos_samples_total")? >= 2.0).then_some(())
    });
    let text = server.get("/metrics");
    for family in [
        "http_server_request_duration_seconds",
        "http_server_active_requests",
        "http_server_request_body_bytes_total",
        "http_server_response_body_bytes_total",
        "cache_hits_total",
        "cache_misses_total",
        "cache_evictions_total",
        "cache_memory_usage_bytes",
        "sommos_work_wait_seconds",
        "sommos_work_run_seconds",
        "sommos_work_retries_total",
        "sommos_dead_letters_total",
        "sommos_queue_depth",
        "sommos_worker_utilization_ratio",
        "sommos_batches_opened_total",
        "sommos_sandbox_children",
        "sommos_sandbox_started_total",
        "sommos_sandbox_crashed_total",
        "sommos_sandbox_timeouts_total",
        "sommos_database_file_bytes",
        "sommos_database_wal_bytes",
        "sommos_database_busy_total",
        "sommos_database_commit_seconds",
        "process_memory_usage_bytes",
        "process_open_files",
        "process_threads",
        "system_cpu_core_utilization_ratio",
        "system_disk_io_bytes_per_second",
        "system_network_io_bytes_per_second",
        "system_cpu_load_average_15m",
        "sommos_webhook_waiting",
        "sommos_otlp_exports_total",
        "errors_total",
    ] {
        assert!(
            text.contains(&format!("\n# TYPE {family} ")),
            "no {family}\n{text}"
        );
        assert!(
            text.contains(&format!("# HELP {family} ")),
            "no help of {family}"
        );
    }
    let mut check = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = check.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// A Prometheus that scrapes one target twice a second.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(folder: &Path, target: SocketAddr) -> Self {
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 500ms}}\nscrape_configs:\n  - job_name: sommos\n    \
             static_configs: [{{targets: ['{target}']}}]\n"
        );
        std::fs::write(&config, text).unwrap();
        // Prometheus takes no port 0: one that is free right now.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let child = program("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("tsdb").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    /// The data of an answer; none before it listens.
    fn api(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        let request = format!(
            "GET /api/v1/{path} HTTP/1.0\r\nhost: {}\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let json: Value = serde_json::from_str(body).ok()?;
        Some(json["data"].clone())
    }

    /// The value of an instant query with one series.
    fn query(&self, query: &str) -> Option<f64> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let data = self.api(&format!("query?query={encoded}"))?;
        let value = data["result"][0]["value"][1]
            .as_str()?
            .parse::<f64>()
            .ok()?;
        value.is_finite().then_some(value)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn prometheus_scrapes_and_answers() {
    let folder = Folder::new("prometheus");
    let server = Server::start(&folder.path().join("data"), &[]);
    let prometheus = Prometheus::start(folder.path(), server.address);
    let target = until("a scrape", || {
        load(&server);
        let targets = prometheus.api("targets")?;
        let target = targets["activeTargets"][0].clone();
        (target["health"] == "up").then_some(target)
    });
    assert_eq!(target["lastError"], "");
    for query in [
        "histogram_quantile(0.95, sum by (le) (rate(http_server_request_duration_seconds_bucket[30s])))",
        "histogram_quantile(0.95, sum by (le) (rate(sommos_work_wait_seconds_bucket{kind=\"job\"}[30s])))",
        "histogram_quantile(0.95, sum by (le) (rate(sommos_work_run_seconds_bucket{kind=\"job\"}[30s])))",
        "sum(rate(cache_hits_total[30s]))",
    ] {
        let value = until(query, || {
            load(&server);
            prometheus.query(query)
        });
        println!("{query} = {value}");
        assert!(value > 0.0, "{query} = {value}");
    }
    assert_eq!(prometheus.query("up"), Some(1.0));
}
