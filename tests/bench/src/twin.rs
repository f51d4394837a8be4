//! A peer in another language: a child process that measures once for each line it is sent.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::Context as _;

/// The running child.
pub struct Twin {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// What it says of itself.
    pub version: String,
}

impl Twin {
    /// Starts `program twins/SCRIPT` and reads its first line.
    pub fn start(
        program: &str,
        script: &str,
        configure: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Self> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("twins")
            .join(script);
        let mut command = Command::new(program);
        command.arg(&script);
        configure(&mut command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let input = child.stdin.take().context("no stdin")?;
        let output = BufReader::new(child.stdout.take().context("no stdout")?);
        let mut twin = Self {
            child,
            input,
            output,
            version: String::new(),
        };
        twin.version = twin
            .line()
            .with_context(|| format!("{program} {} does not run", script.display()))?;
        Ok(twin)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        anyhow::ensure!(!line.is_empty(), "it ended");
        Ok(line.trim_end().to_owned())
    }

    /// One measurement; NaN when the child fails.
    pub fn measure(&mut self, request: &str) -> f64 {
        let ask = |twin: &mut Self| -> anyhow::Result<f64> {
            writeln!(twin.input, "{request}")?;
            Ok(twin.line()?.parse()?)
        };
        ask(self).unwrap_or(f64::NAN)
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
