//! Commands: how xtask starts other programs.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

/// A command that is printed before it runs.
pub struct Step(Command);

/// The cargo that runs xtask. What it tells xtask about xtask's package is kept from it: some build
/// scripts (ring's) would take it for theirs, and run again whenever cargo is called by hand.
pub fn cargo<const N: usize>(args: [&str; N]) -> Step {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut step = Step::new(cargo).args(args);
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            step.0.env_remove(&key);
        }
    }
    step
}

impl Step {
    /// A command of this program.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self(Command::new(program))
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.0.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(key, value);
        self
    }

    /// Sets the folder that it runs in.
    pub fn within(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// Removes environment variables.
    pub fn without(mut self, keys: &[&str]) -> Self {
        for key in keys {
            self.0.env_remove(key);
        }
        self
    }

    fn announce(&self) {
        let args: Vec<_> = self.0.get_args().map(OsStr::to_string_lossy).collect();
        eprintln!(
            "$ {} {}",
            self.0.get_program().to_string_lossy(),
            args.join(" ")
        );
    }

    /// Runs it; its output goes to the terminal.
    pub fn run(mut self) -> anyhow::Result<()> {
        self.announce();
        let status = self
            .0
            .status()
            .with_context(|| format!("cannot start {:?}", self.0))?;
        ensure!(
            status.success(),
            "{:?} ended with {status}",
            self.0.get_program()
        );
        Ok(())
    }

    /// Runs it and gives its standard output, or nothing when it fails or does not exist.
    pub fn output(mut self) -> Option<String> {
        let out = self.0.stderr(Stdio::null()).output().ok()?;
        out.status
            .success()
            .then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    /// Runs it, shows its standard output as it comes, and hands each line on.
    /// Gives whether it ended well.
    pub fn lines(self, mut each: impl FnMut(&str)) -> anyhow::Result<bool> {
        self.read(|line| {
            println!("{line}");
            each(line);
        })
    }

    /// Runs it, and hands on each line of its standard output. Gives whether it ended well.
    pub fn read(mut self, mut each: impl FnMut(&str)) -> anyhow::Result<bool> {
        self.announce();
        let mut child = self
            .0
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {:?}", self.0))?;
        let stdout = child.stdout.take().context("no standard output")?;
        for line in BufReader::new(stdout).lines() {
            each(&line?);
        }
        Ok(child.wait()?.success())
    }
}
