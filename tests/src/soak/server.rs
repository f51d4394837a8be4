//! The release binary as a child process, and what the system tells of it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::http::Client;

/// Longest wait for a server that starts.
const START: Duration = Duration::from_secs(60);

/// A folder that goes with its owner.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A new empty folder.
    pub(crate) fn new() -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sommos-soak-{}-{n}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing depends on it any more.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From its start until it was ready.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// Starts the binary on a free port, and waits until it is ready.
    pub(crate) fn start(data: &Path, args: &[&str]) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("sommos-server");
        ensure!(
            program.exists(),
            "{} is missing: cargo build --release -p sommos-server",
            program.display()
        );
        let began = Instant::now();
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(data.join("server.log"))?;
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--log", "warn", "--data-dir"])
            .arg(data)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().context("no standard output")?;
        // Made before anything can fail, so that the process cannot outlive it.
        let mut server = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            ready_after: Duration::ZERO,
        };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on http://");
        let Some(address) = address else {
            let log = fs::read_to_string(data.join("server.log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(5).collect();
            bail!("the server did not start: {line:?} {tail:?}");
        };
        server.address = address.parse()?;
        while server.client().get("/health/ready").map_or(0, |r| r.status) != 200 {
            ensure!(began.elapsed() < START, "not ready after {START:?}");
            thread::sleep(Duration::from_millis(2));
        }
        server.ready_after = began.elapsed();
        Ok(server)
    }

    /// A new connection.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM; how it ended and after how long.
    pub(crate) fn terminate(
        mut self,
        patience: Duration,
    ) -> anyhow::Result<(ExitStatus, Duration)> {
        let began = Instant::now();
        let pid = Pid::from_raw(self.pid().cast_signed()).context("no pid")?;
        kill_process(pid, Signal::TERM)?;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status, began.elapsed()));
            }
            ensure!(
                began.elapsed() < patience,
                "still there {patience:?} after SIGTERM"
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// A figure of /proc/PID/status that is in kB (`VmRSS`, `VmHWM`), bytes.
    pub(crate) fn memory(&self, name: &str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kb = line.and_then(|l| l.trim_start_matches(':').split_whitespace().next());
        let kb: u64 = kb.context("no such line in /proc/PID/status")?.parse()?;
        Ok(kb << 10)
    }

    /// Begins a new peak of `VmHWM`.
    pub(crate) fn reset_peak(&self) -> anyhow::Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.pid()), "5")?)
    }

    /// User and system time so far, all threads together, in ticks of 10 ms.
    pub(crate) fn cpu_ticks(&self) -> anyhow::Result<u64> {
        let stat = Stat::of(self.pid())?;
        Ok(stat.ticks)
    }

    /// Its direct children.
    pub(crate) fn children(&self) -> anyhow::Result<Vec<Stat>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            // One that ended between is none of its children any more.
            if let Ok(stat) = Stat::of(pid)
                && stat.parent == self.pid()
            {
                found.push(stat);
            }
        }
        Ok(found)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // It may end by itself in between; there is nothing else to do about either.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A line of /proc/PID/stat.
#[derive(Clone, Debug)]
pub(crate) struct Stat {
    /// The process.
    pub(crate) pid: u32,
    /// R, S, Z, ...
    pub(crate) state: char,
    /// Its parent.
    pub(crate) parent: u32,
    /// User and system time, 10 ms each.
    pub(crate) ticks: u64,
    born: u64,
}

impl Stat {
    /// Whether the same process is still there, other than as a zombie that its new parent has not
    /// buried yet.
    pub(crate) fn lives(&self) -> bool {
        Self::of(self.pid).is_ok_and(|now| now.born == self.born && now.state != 'Z')
    }

    fn of(pid: u32) -> anyhow::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name stands in parentheses and may hold anything.
        let rest = text.rsplit_once(')').context("no name")?.1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |i: usize| -> anyhow::Result<u64> {
            Ok(fields.get(i).context("a short line")?.parse()?)
        };
        Ok(Self {
            pid,
            state: fields.first().and_then(|s| s.chars().next()).unwrap_or('?'),
            parent: u32::try_from(number(1)?)?,
            ticks: number(11)? + number(12)?,
            born: number(19)?,
        })
    }
}
