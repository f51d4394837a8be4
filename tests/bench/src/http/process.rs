//! Servers under measurement, each a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// A server that runs, until it is dropped.
pub struct Process {
    child: Child,
    /// `host:port`.
    pub address: String,
    /// Its data, removed at the end.
    folder: Option<PathBuf>,
}

impl Process {
    /// Starts `command` and waits for its line `listening on http://ADDRESS`.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("no stdout")?;
        let read = BufReader::new(stdout).read_line(&mut line);
        let process = Self {
            child,
            address: line.trim().replace("listening on http://", ""),
            folder: None,
        };
        read?;
        ensure!(
            process.address.contains(':'),
            "{} ended at its start",
            command.get_program().display()
        );
        Ok(process)
    }

    /// Our release binary, which stands beside this one, with its data in a temporary folder.
    pub fn ours(arguments: &[&str]) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("sommos-server");
        ensure!(
            program.exists(),
            "no server: build it first (cargo build --release -p sommos-server)"
        );
        let folder = std::env::temp_dir().join(format!("sommos-http-{}", std::process::id()));
        let mut command = Command::new(program);
        command
            .args(["--listen", "127.0.0.1:0", "--log", "off", "--data-dir"])
            .arg(&folder)
            .args(arguments);
        let mut process = Self::start(&mut command)?;
        process.folder = Some(folder);
        Ok(process)
    }

    /// CPU seconds that it used, user and system (proc(5), fields 14 and 15 of stat).
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(self.proc("stat"))?;
        // The name in parentheses may hold spaces; the fields behind it do not.
        let (_, fields) = stat.rsplit_once(')').context("stat")?;
        let fields = fields.split_whitespace().skip(11).take(2);
        let ticks: f64 = fields.filter_map(|t| t.parse::<f64>().ok()).sum();
        // USER_HZ is 100 on every Linux architecture in use.
        Ok(ticks / 100.0)
    }

    /// A size in MB from its status: `VmRSS` (now) or `VmHWM` (the peak).
    pub fn memory_mb(&self, field: &str) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(self.proc("status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .with_context(|| format!("no {field}"))?;
        let kb: f64 = line.split_whitespace().next().context("empty")?.parse()?;
        Ok(kb / 1024.0)
    }

    fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.child.id().to_string())
            .join(file)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// The Express twin; npm express is installed once, into a temporary folder.
pub fn express() -> anyhow::Result<Process> {
    let folder = std::env::temp_dir().join("sommos-bench-express");
    if !folder.join("node_modules/express").exists() {
        std::fs::create_dir_all(&folder)?;
        let installed = Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .arg("express")
            .stdout(Stdio::null())
            .status()
            .context("no npm: install Node.js 20 or newer")?;
        ensure!(installed.success(), "npm install express failed");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("twins/http.cjs");
    let mut node = Command::new("node");
    node.arg(script)
        .env("NODE_PATH", folder.join("node_modules"))
        .env("NODE_ENV", "production");
    Process::start(&mut node)
}
