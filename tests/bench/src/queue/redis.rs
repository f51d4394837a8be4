//! The BullMQ twin and the Redis server that it runs on.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};

/// A Redis server of our own on a free port.
pub struct Redis {
    server: Child,
    port: u16,
}

impl Redis {
    /// Starts it in this folder, and BullMQ once, so that what is missing is told now.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--save",
                "",
            ])
            // The log is not rewritten meanwhile: that would slow down whoever happens to run.
            .args(["--auto-aof-rewrite-percentage", "0"])
            .args(["--appendonly", "yes", "--appendfsync", "everysec", "--dir"])
            .arg(folder)
            .stdout(Stdio::null())
            .spawn()
            .context("no redis-server: install it, for example by apt-get install redis-server")?;
        let redis = Self { server, port };
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                redis.twin(&["throughput", "100", "1"])?;
                return Ok(redis);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("redis-server does not listen on port {port}")
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// Runs the twin; the figures that it prints.
    pub fn twin(&self, arguments: &[&str]) -> anyhow::Result<Vec<f64>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("twins");
        let output = Command::new("node")
            .arg("queue.cjs")
            .arg(self.port.to_string())
            .args(arguments)
            .current_dir(&folder)
            .output()
            .context("no node: install Node.js 20 or newer")?;
        if !output.status.success() {
            let remedy = "run `npm install --no-save bullmq ioredis` in tests/bench/twins, or \
                          name its node_modules in NODE_PATH";
            let reason = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{}; {remedy}",
                reason
                    .lines()
                    .find(|l| l.contains("Error"))
                    .unwrap_or(&reason)
            );
        }
        let text = String::from_utf8(output.stdout)?;
        text.split_whitespace()
            .map(|field| Ok(field.parse()?))
            .collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
