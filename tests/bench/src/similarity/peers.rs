//! The peers run as processes of their own, on one thread, and measure their CPU time themselves.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use sommos_core::similarity::Ratings;

use crate::report::median;

/// Who computes the same.
pub enum Peer<'a> {
    /// A function of `twins/similarity_numpy.py`.
    Python(&'static str),
    /// An algorithm of `twins/similarity_naive.js`.
    JavaScript(&'a str),
}

impl Peer<'_> {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Python(name) => name,
            Self::JavaScript(_) => "straightforward JavaScript",
        }
    }
}

/// Ratings in a file that the peers read; removed when dropped.
pub struct Workload(PathBuf);

impl Drop for Workload {
    fn drop(&mut self) {
        // What remains in the temporary folder does no harm.
        let _ = fs::remove_file(&self.0);
    }
}

impl Workload {
    pub fn new(ratings: &Ratings) -> anyhow::Result<Self> {
        let name = format!(
            "sommos-bench-{}-{}.txt",
            std::process::id(),
            ratings.ratings_len()
        );
        let workload = Self(env::temp_dir().join(name));
        let mut file = std::io::BufWriter::new(fs::File::create(&workload.0)?);
        for entity in 0..ratings.len() {
            let (items, values) = ratings.row(entity);
            for (item, rating) in items.iter().zip(values) {
                writeln!(file, "{entity} {item} {rating}")?;
            }
        }
        file.flush()?;
        Ok(workload)
    }

    /// CPU seconds of the peer's computation, the median of its rounds.
    pub fn seconds(&self, peer: &Peer<'_>) -> anyhow::Result<f64> {
        let twins = Path::new(env!("CARGO_MANIFEST_DIR")).join("twins");
        let (program, script, algorithm, rounds) = match peer {
            Peer::Python(name) => {
                let python = env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
                (python, "similarity_numpy.py", *name, "3")
            }
            Peer::JavaScript(name) => ("node".to_owned(), "similarity_naive.js", *name, "1"),
        };
        let output = Command::new(&program)
            .arg(twins.join(script))
            .arg(algorithm)
            .arg(&self.0)
            .arg(rounds)
            .env_remove("OPENBLAS_CORETYPE")
            .env_remove("OPENBLAS_L2_SIZE")
            .env("OPENBLAS_NUM_THREADS", "1")
            .output()
            .with_context(|| format!("starting {program}"))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{}",
                text.trim()
                    .lines()
                    .last()
                    .unwrap_or("it failed without a word")
            );
        }
        let lines = String::from_utf8_lossy(&output.stdout);
        let seconds: Vec<f64> = lines.lines().map(str::parse).collect::<Result<_, _>>()?;
        Ok(median(seconds))
    }
}
