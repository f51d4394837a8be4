//! The load generator: wrk in a closed loop, the same for every contestant.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

const CONNECTIONS: &str = "32";
const DONE: &str = r#"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"#;

/// What one run measured.
pub struct Load {
    /// Requests answered.
    pub requests: f64,
    /// Seconds that it took.
    pub seconds: f64,
    /// 99th percentile of the answers' times, milliseconds.
    pub p99_ms: f64,
}

/// A script for wrk, removed at the end.
pub struct Script {
    file: PathBuf,
    target: String,
}

impl Script {
    /// GET, or POST of a JSON body.
    pub fn write(name: &str, target: &str, body: Option<&str>) -> anyhow::Result<Self> {
        let file = std::env::temp_dir().join(format!("sommos-{name}-{}.lua", std::process::id()));
        let post = body.map(|body| {
            format!(
                "wrk.method = 'POST'\nwrk.body = '{body}'\n\
                 wrk.headers['content-type'] = 'application/json'\n"
            )
        });
        std::fs::write(&file, post.unwrap_or_default() + DONE)?;
        Ok(Self {
            file,
            target: target.to_owned(),
        })
    }

    /// Loads a server for some seconds.
    pub fn run(&self, address: &str, seconds: u32) -> anyhow::Result<Load> {
        let output = Command::new("wrk")
            .args(["-t1", "-c", CONNECTIONS, "-d", &format!("{seconds}s"), "-s"])
            .arg::<&Path>(&self.file)
            .arg(format!("http://{address}{}", self.target))
            .output()
            .context("no wrk: install it, for example by apt-get install wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<f64> = text
            .lines()
            .find_map(|line| line.strip_prefix("RESULT "))
            .with_context(|| format!("wrk: {text}"))?
            .split(' ')
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let [requests, us, p99_us, errors] = numbers[..] else {
            anyhow::bail!("wrk: {text}");
        };
        ensure!(errors == 0.0, "{errors} of {requests} requests failed");
        Ok(Load {
            requests,
            seconds: us / 1e6,
            p99_ms: p99_us / 1e3,
        })
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
