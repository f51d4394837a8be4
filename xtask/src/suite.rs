//! The tests of the host, built once.
//!
//! Cargo compiles a crate anew for every set of features, and the features of a dependency depend on
//! which packages are asked for together. So everything that runs here is built by one command, and
//! what that command built is run from here.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::shell::{Step, cargo};

/// Always these together, in every command that builds one of them.
const PACKAGES: [&str; 8] = [
    "--package",
    "sommos-core",
    "--package",
    "sommos-edge",
    "--package",
    "sommos-server",
    "--package",
    "sommos-tests",
];

/// What was built: programs of tests, and the plain ones.
pub struct Suite(Vec<Program>);

struct Program {
    package: PathBuf,
    name: String,
    is_test: bool,
    path: PathBuf,
}

/// Builds all tests and programs.
///
/// # Errors
/// When something does not compile; the compiler has said what.
pub fn build() -> anyhow::Result<Suite> {
    let mut programs = Vec::new();
    // `--tests` also has features chosen as for tests, which programs alone would not.
    let built = cargo(["build", "--bins", "--tests"])
        .args(PACKAGES)
        .args(["--message-format", "json-render-diagnostics"])
        .read(|line| programs.extend(Program::read(line)))?;
    ensure!(built, "the tests do not compile");
    programs.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    Ok(Suite(programs))
}

/// A test of the server that is not among those that always run.
pub fn named(test: &str) -> Step {
    cargo(["test"]).args(PACKAGES).args(["--test", test])
}

/// The examples in the documentation of these packages.
pub fn documentation() -> Step {
    cargo(["test", "--doc"]).args(PACKAGES)
}

impl Suite {
    /// The tests of a package, by its folder, as cargo would run them.
    pub fn tests(&self, package: &str) -> impl Iterator<Item = Step> {
        let ours = move |p: &&Program| p.is_test && p.package.ends_with(package);
        self.0.iter().filter(ours).map(|program| {
            let folder = &program.package;
            Step::new(&program.path)
                .within(folder)
                .env("CARGO_MANIFEST_DIR", folder)
        })
    }

    /// A program by its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn program(&self, name: &str) -> anyhow::Result<Step> {
        let named = |p: &&Program| !p.is_test && p.name == name;
        let program = self.0.iter().find(named);
        Ok(Step::new(
            &program.with_context(|| format!("no {name}"))?.path,
        ))
    }
}

impl Program {
    /// Reads a line of cargo's messages; `None` when it tells of something else.
    fn read(line: &str) -> Option<Self> {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = message["executable"].as_str()?;
        let manifest = Path::new(message["manifest_path"].as_str()?);
        Some(Self {
            package: manifest.parent()?.to_path_buf(),
            name: message["target"]["name"].as_str()?.to_owned(),
            is_test: message["profile"]["test"].as_bool()?,
            path: path.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Program;

    #[test]
    fn programs_are_read_from_messages() {
        let read = Program::read(
            r#"{"reason":"compiler-artifact","manifest_path":"/w/core/Cargo.toml","target":
            {"kind":["lib"],"name":"sommos_core"},"profile":{"test":true},"executable":"/t/x"}"#,
        )
        .unwrap();
        assert!(read.is_test && read.package.ends_with("core"));
        assert!(
            Program::read(r#"{"reason":"compiler-artifact","executable":null}"#).is_none()
                && Program::read("warning: something").is_none()
        );
    }
}
