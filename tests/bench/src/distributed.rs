//! The `distributed` workloads: what servers with one Redis share, beside what each alone would do
//! and beside a bare client of Redis.

mod cache;
mod placement;
mod queue;

use std::path::PathBuf;

use crate::{Options, queue::redis::Redis, report::Report};

/// Runs them. They need a Redis: without it there is a note.
pub fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let redis = match Redis::start(&folder.0) {
        Ok(redis) => redis,
        Err(error) => {
            report.note("distributed", &format!("not run: {error:#}"));
            return Ok(());
        }
    };
    cache::run(options, report, &redis)?;
    queue::run(options, report, &folder.0, &redis)
}

/// A temporary folder.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let name = format!("sommos-distributed-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left over in the worst case: some temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
