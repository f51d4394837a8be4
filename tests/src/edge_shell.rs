//! The edge worker in workerd, asked over TCP, with a clock that each request brings.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    client::HttpClient,
    replay::{Reply, START_MS, Send, Shell},
    vector::Vector,
};

/// The header by which a test brings its clock, its space and its settings.
const HEADER: &str = "sommos-test";

/// One workerd for all cases; each case has a space of its own in it.
pub struct EdgeHost {
    child: Child,
    /// Closed, it ends.
    stdin: Option<ChildStdin>,
    origin: String,
    /// Whether this build runs JavaScript processors.
    name: &'static str,
    opened: AtomicU64,
    runtime: Runtime,
}

impl EdgeHost {
    /// Starts workerd with the bundle in `build`, a folder of `edge-worker`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(build: &str) -> anyhow::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge-worker");
        let mut child = Command::new("node")
            .arg(folder.join("test/host.mjs"))
            .arg(build)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("node cannot be started")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line).context("the worker did not start")?;
        let origin = ready.get("origin").and_then(Value::as_str);
        Ok(Self {
            stdin: child.stdin.take(),
            child,
            origin: origin.context("no origin")?.to_owned(),
            name: if build.contains("processors") {
                "edge-processors"
            } else {
                "edge"
            },
            opened: AtomicU64::new(0),
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?,
        })
    }

    /// The shell's name in the vectors.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// A fresh space as the vector wants it.
    #[must_use]
    pub fn open(&self, vector: &Vector) -> EdgeShell<'_> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let given = &vector.config;
        let mut control = json!({"space": format!("v{number}"), "limits": vector.limits});
        let mut set = |name: &str, value: Option<u64>| {
            if let Some(value) = value {
                control[name] = value.into();
            }
        };
        set("cacheMaxSize", given.cache_max_size.map(|n| n as u64));
        set("cacheDefaultTtlMs", given.cache_default_ttl_ms);
        set("memoryLimitBytes", given.memory_limit_bytes);
        EdgeShell {
            host: self,
            client: HttpClient::default(),
            control,
            now: START_MS,
        }
    }
}

impl Drop for EdgeHost {
    fn drop(&mut self) {
        self.stdin = None;
        // It has nothing left to do.
        let _ = self.child.wait();
    }
}

/// The space of one case.
pub struct EdgeShell<'h> {
    host: &'h EdgeHost,
    client: HttpClient,
    control: Value,
    now: u64,
}

impl Shell for EdgeShell<'_> {
    fn name(&self) -> &'static str {
        self.host.name
    }

    fn send(&mut self, request: &Send) -> anyhow::Result<Reply> {
        self.control["now"] = self.now.into();
        let header = (HEADER, self.control.to_string());
        self.host
            .runtime
            .block_on(self.client.ask(&self.host.origin, request, Some(header)))
    }

    fn advance(&mut self, ms: u64) -> anyhow::Result<()> {
        self.now += ms;
        Ok(())
    }
}
