//! Servers that share a Redis: two of them, asked in turn.
//!
//! The clock of the servers is moved by hand, as in [`crate::server_shell`]. BullMQ reads the
//! system's: this process runs under libfaketime, which makes that one as still, so cases that
//! move it must run one after the other.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{
    replay::{Reply, START_MS, Send, Shell},
    server_shell::{Host, Running},
    vector::Vector,
};

/// Longest wait for Redis to start.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where a Debian package puts it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
/// Names the file that holds the time.
const FILE: &str = "FAKETIME_TIMESTAMP_FILE";

/// The system's clock, as this process sees it.
pub struct SystemClock(PathBuf);

impl SystemClock {
    /// The clock under which this process runs. A process that does not yet is replaced by one
    /// that does: call it first.
    ///
    /// # Errors
    /// When libfaketime is not installed.
    pub fn still() -> anyhow::Result<Self> {
        if let Some(file) = std::env::var_os(FILE) {
            let clock = Self(file.into());
            clock.reset()?;
            return Ok(clock);
        }
        if !std::path::Path::new(FAKETIME).is_file() {
            bail!("{FAKETIME} is missing: apt-get install faketime");
        }
        let file = std::env::temp_dir().join(format!("sommos-clock-{}", std::process::id()));
        let clock = Self(file.clone());
        clock.reset()?;
        let status = Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .env("LD_PRELOAD", FAKETIME)
            .env(FILE, &file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("TZ", "UTC")
            .status()?;
        let _ = std::fs::remove_file(&file);
        std::process::exit(status.code().unwrap_or(1));
    }

    /// Sets it to where the clock of every shell begins.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn reset(&self) -> anyhow::Result<()> {
        self.set(START_MS)
    }

    /// Sets it, to the second below.
    fn set(&self, ms: u64) -> anyhow::Result<()> {
        let seconds = i64::try_from(ms / 1000)?;
        let days = seconds.div_euclid(86_400);
        let (hour, rest) = (seconds.rem_euclid(86_400) / 3600, seconds.rem_euclid(3600));
        let (year, month, day) = civil(days);
        let (minute, second) = (rest / 60, rest % 60);
        let text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}\n");
        // Replaced in one step: it is read at any moment.
        let new = self.0.with_extension("new");
        std::fs::write(&new, text)?;
        std::fs::rename(&new, &self.0).context("the file of the clock")
    }
}

/// Year, month and day of a day since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A Redis of this run, on a free port, that writes all it takes to the disk.
pub struct Redis {
    child: Child,
    folder: PathBuf,
    url: String,
}

impl Redis {
    /// Starts it.
    ///
    /// # Errors
    /// When it is not installed or does not answer.
    pub fn start() -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = std::env::temp_dir().join(format!("sommos-redis-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--dir"])
            .arg(&folder)
            .env_remove("LD_PRELOAD")
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server: apt-get install redis-server")?;
        let redis = Self {
            child,
            folder,
            url: format!("redis://127.0.0.1:{port}"),
        };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if began.elapsed() > PATIENCE {
                bail!("Redis does not answer");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Left over in the worst case: a process and a folder of temporary files.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Which of the two servers a step goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The second, for all steps.
    One,
    /// One after the other.
    Both,
}

/// Two servers with one Redis.
pub struct RedisShell<'h> {
    servers: [Running<'h>; 2],
    clock: Arc<AtomicU64>,
    system: &'h SystemClock,
    asked: Asked,
    steps: AtomicUsize,
}

impl<'h> RedisShell<'h> {
    /// Two fresh servers as the vector wants them; nothing is shared with another case.
    ///
    /// # Errors
    /// When they do not start.
    pub fn open(
        host: &'h Host,
        redis: &Redis,
        system: &'h SystemClock,
        asked: Asked,
        vector: &Vector,
    ) -> anyhow::Result<Self> {
        static CASES: AtomicUsize = AtomicUsize::new(0);
        let case = CASES.fetch_add(1, Ordering::Relaxed);
        if moves(vector) {
            system.reset()?;
        }
        let clock = Arc::new(AtomicU64::new(START_MS));
        let serve = |node: &str| {
            let mut config = host.config(vector);
            config.redis.url = Some(redis.url.clone());
            config.redis.prefix = format!("case{case}");
            config.redis.node_id = Some(node.to_owned());
            // A machine under load is no outage.
            config.redis.hard_timeout_ms = 10_000;
            host.serve(config, &clock)
        };
        Ok(Self {
            servers: [serve("a")?, serve("b")?],
            clock,
            system,
            asked,
            steps: AtomicUsize::new(0),
        })
    }
}

/// Whether a vector moves the clock.
#[must_use]
pub fn moves(vector: &Vector) -> bool {
    vector.steps.iter().any(|step| step.advance_ms > 0)
}

impl Shell for RedisShell<'_> {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn stands_for(&self) -> &'static str {
        "server"
    }

    fn send(&mut self, request: &Send) -> anyhow::Result<Reply> {
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        let [first, second] = &self.servers;
        match self.asked {
            Asked::Both if step.is_multiple_of(2) => first.send(request),
            Asked::Both | Asked::One => second.send(request),
        }
    }

    fn advance(&mut self, ms: u64) -> anyhow::Result<()> {
        let now = self.clock.fetch_add(ms, Ordering::SeqCst) + ms;
        self.system.set(now)?;
        self.servers.iter().for_each(Running::wake);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_have_their_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(19_675), (2023, 11, 14));
        assert_eq!(civil(-1), (1969, 12, 31));
    }
}
