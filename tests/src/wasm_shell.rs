//! The package in Node or Chromium: `tests/node/shell.mjs`, a line in and a line out.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use crate::{
    replay::{Reply, START_MS, Send, Shell},
    vector::Vector,
};

/// One Node process for all cases; each case gets a fresh service in it.
pub struct WasmHost {
    child: Child,
    pipes: Option<Mutex<(ChildStdin, BufReader<ChildStdout>)>>,
}

impl WasmHost {
    /// Starts Node with the package in `folder`; `place` says where it runs: node or chromium.
    ///
    /// # Errors
    /// When Node cannot be started.
    pub fn start(place: &str, folder: &Path) -> anyhow::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/shell.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .arg(place)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("node cannot be started")?;
        let stdin = child.stdin.take().context("no standard input")?;
        let stdout = child.stdout.take().context("no standard output")?;
        Ok(Self {
            child,
            pipes: Some(Mutex::new((stdin, BufReader::new(stdout)))),
        })
    }

    /// A fresh service as the vector wants it.
    ///
    /// # Errors
    /// When a limit or setting is unknown or out of range.
    pub fn open(&self, vector: &Vector) -> anyhow::Result<WasmShell<'_>> {
        let given = &vector.config;
        let mut cache = json!({"maxEntries": given.cache_max_size.unwrap_or(10_000)});
        if let Some(ttl) = given.cache_default_ttl_ms {
            cache["defaultTtlMs"] = ttl.into();
        }
        let mut config = json!({"limits": vector.limits, "cache": cache});
        if let Some(bytes) = given.memory_limit_bytes {
            config["memoryLimitBytes"] = bytes.into();
        }
        self.ask(&json!({"op": "new", "config": config, "now": START_MS}))?;
        Ok(WasmShell {
            host: self,
            now: START_MS,
        })
    }

    fn ask(&self, request: &Value) -> anyhow::Result<Value> {
        let pipes = self.pipes.as_ref().context("closed")?;
        let mut pipes = pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let (stdin, stdout) = &mut *pipes;
        writeln!(stdin, "{request}")?;
        stdin.flush()?;
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let reply: Value = serde_json::from_str(&line).context("node answered no JSON")?;
        match reply.get("error") {
            Some(error) => bail!("wasm: {error}"),
            None => Ok(reply),
        }
    }
}

impl Drop for WasmHost {
    fn drop(&mut self) {
        // Without input it ends by itself, and its browser with it.
        self.pipes = None;
        let _ = self.child.wait();
    }
}

/// The service of one case.
pub struct WasmShell<'h> {
    host: &'h WasmHost,
    now: u64,
}

impl WasmShell<'_> {
    fn work(&self) -> anyhow::Result<()> {
        self.host
            .ask(&json!({"op": "run", "now": self.now}))
            .map(|_| ())
    }
}

impl Shell for WasmShell<'_> {
    /// It is core's service: what core does not offer, it does not.
    fn name(&self) -> &'static str {
        "core"
    }

    fn send(&mut self, request: &Send) -> anyhow::Result<Reply> {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let reply = self.host.ask(&json!({
            "op": "handle",
            "now": self.now,
            "method": request.method,
            "path": path,
            "query": query,
            "contentType": request.content_type,
            "accept": request.accept,
            "body": BASE64.encode(&request.body),
        }))?;
        self.work()?;
        let text = |name: &str| reply.get(name).and_then(Value::as_str).unwrap_or_default();
        Ok(Reply {
            status: reply.get("status").and_then(Value::as_u64).unwrap_or(0) as u16,
            content_type: text("contentType").to_owned(),
            body: BASE64.decode(text("body"))?,
        })
    }

    fn advance(&mut self, ms: u64) -> anyhow::Result<()> {
        self.now += ms;
        self.work()
    }
}
