//! `cargo xtask test`: the groups, one after the other, and the one line that sums them up.

use std::path::Path;

use anyhow::bail;

use crate::{
    demo, edge, node,
    shell::{Step, cargo},
    toolchain, wasm,
};

/// What a group counted.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

type Group = fn(&mut Tally) -> anyhow::Result<()>;

/// The last is run only when it is named: the JavaScript engine alone takes minutes to compile.
const GROUPS: [(&str, Group); 9] = [
    ("lint", lint),
    ("core", core),
    ("server", server),
    ("vectors", vectors),
    ("package", package),
    ("dashboard", dashboard),
    ("redis", redis),
    ("edge", edge),
    (LONG, processors),
];
const LONG: &str = "processors";

/// Runs the groups named (none: all). Ends the process with 1 when anything failed.
pub fn run(only: &[String]) -> anyhow::Result<()> {
    let names: Vec<_> = GROUPS.iter().map(|g| g.0).collect();
    if let Some(unknown) = only.iter().find(|n| !names.contains(&n.as_str())) {
        bail!("unknown group {unknown:?}; known: {}", names.join(" "));
    }
    let mut total = Tally::default();
    for (name, group) in GROUPS {
        let named = only.iter().any(|n| n == name);
        if !named && (!only.is_empty() || name == LONG) {
            continue;
        }
        let mut tally = Tally::default();
        println!("== {name}");
        if let Err(error) = group(&mut tally) {
            println!("{name}: {error:#}");
            tally.failed = tally.failed.max(1);
        }
        println!(
            "== {name}: {} passed, {} failed",
            tally.passed, tally.failed
        );
        total.passed += tally.passed;
        total.failed += tally.failed;
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed > 0 {
        std::process::exit(1);
    }
    Ok(())
}

impl Tally {
    /// Runs a command and adds up the closing lines of its test runners. A command that fails
    /// without having counted a failure is one.
    fn count(&mut self, step: Step) -> anyhow::Result<()> {
        let before = self.failed;
        let ok = step.lines(|line| self.read(line))?;
        if !ok && self.failed == before {
            self.failed += 1;
        }
        Ok(())
    }

    /// A command that either holds or does not.
    fn check(&mut self, outcome: anyhow::Result<()>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(error) => {
                println!("{error:#}");
                self.failed += 1;
            }
        }
    }

    /// Reads `test result: ok. 3 passed; 0 failed; ...` of cargo and `3 passed, 0 failed` of ours.
    fn read(&mut self, line: &str) {
        let line = line.trim();
        let line = line
            .strip_prefix("test result: ok. ")
            .or_else(|| line.strip_prefix("test result: FAILED. "))
            .unwrap_or(line);
        let mut parts = line.split([';', ',']).map(str::trim);
        let count = |part: Option<&str>, word: &str| -> Option<u64> {
            part?.strip_suffix(word)?.trim().parse().ok()
        };
        let Some(passed) = count(parts.next(), "passed") else {
            return;
        };
        let Some(failed) = count(parts.next(), "failed") else {
            return;
        };
        self.passed += passed;
        self.failed += failed;
    }
}

fn lint(tally: &mut Tally) -> anyhow::Result<()> {
    tally.check(cargo(["fmt", "--all", "--check"]).run());
    let clippy = cargo([
        "clippy",
        "--workspace",
        "--exclude",
        "sommos-processors",
        "--all-targets",
        "--features",
        "sommos-core/rayon,sommos-core/native-codecs,sommos-core/openapi",
        "--",
        "-D",
        "warnings",
    ]);
    tally.check(clippy.run());
    Ok(())
}

fn core(tally: &mut Tally) -> anyhow::Result<()> {
    // Both ways of building it: as the shells without threads do, and as the server does.
    tally.count(cargo(["test", "--package", "sommos-core", "--lib"]))?;
    tally.count(cargo([
        "test",
        "--package",
        "sommos-core",
        "--features",
        "rayon,native-codecs,openapi",
    ]))
}

/// Always these two together: features that only one of them asks for would else have the server
/// compiled twice.
const SERVER: [&str; 4] = ["--package", "sommos-server", "--package", "xtask"];

fn server(tally: &mut Tally) -> anyhow::Result<()> {
    tally.count(cargo(["test"]).args(SERVER))
}

fn vectors(tally: &mut Tally) -> anyhow::Result<()> {
    tally.count(cargo(["test", "--package", "sommos-tests"]))?;
    // The children of the server's sandbox run the server's binary.
    cargo(["build"]).args(SERVER).run()?;
    tally.count(cargo([
        "run",
        "--package",
        "sommos-tests",
        "--bin",
        "vectors",
    ]))
}

/// The package: built as it is published, its tests and every vector in Node and in Chromium.
fn package(tally: &mut Tally) -> anyhow::Result<()> {
    toolchain::node()?;
    toolchain::chromium()?;
    tally.check(wasm::build_pkg(false, &[]));
    for place in ["node", "chromium"] {
        tally.count(Step::new("node").args(["pkg/test/run.mjs", place]))?;
        let run = ["run", "--package", "sommos-tests", "--bin", "vectors_wasm"];
        tally.count(cargo(run).args(["--", place, "pkg"]))?;
    }
    tally.count(Step::new("node").args(["pkg/test/tabs.mjs"]))?;
    tally.count(Step::new("node").args(["pkg/test/consumers.mjs"]))?;
    demo::run(true, 0)?;
    tally.count(Step::new("node").args(["pkg/test/demo.mjs"]))
}

/// The dashboard in Chromium against the server that was built.
fn dashboard(tally: &mut Tally) -> anyhow::Result<()> {
    toolchain::node()?;
    toolchain::chromium()?;
    node::install(Path::new("pkg"))?;
    cargo(["build"]).args(SERVER).run()?;
    tally.count(Step::new("node").args(["native-server/tests/dashboard/run.mjs"]))?;
    toolchain::prometheus()?;
    tally.count(cargo(["test"]).args(SERVER).args(["--test", "prometheus"]))
}

/// Several servers with one Redis.
fn redis(tally: &mut Tally) -> anyhow::Result<()> {
    toolchain::redis()?;
    toolchain::node()?;
    node::install(Path::new("native-server/tests/redis/node"))?;
    let several = ["test", "--package", "sommos-server", "--test", "redis"];
    tally.count(cargo(several))
}

/// The edge worker in workerd: as it is deployed, and with panics.
fn edge(tally: &mut Tally) -> anyhow::Result<()> {
    toolchain::node()?;
    toolchain::chromium()?;
    tally.count(cargo(["test", "--package", "sommos-edge"]))?;
    // `build-edge` itself holds sizes to their limits.
    tally.check(edge::build_panicking(false));
    tally.check(edge::build(false, false, true));
    tally.count(Step::new("node").args(["edge-worker/test/run.mjs"]))?;
    tally.count(cargo(VECTORS_EDGE).args(["--", "build"]))
}

const VECTORS_EDGE: [&str; 5] = ["run", "--package", "sommos-tests", "--bin", "vectors_edge"];

/// JavaScript processors at the edge.
fn processors(tally: &mut Tally) -> anyhow::Result<()> {
    toolchain::node()?;
    let clippy = cargo(["clippy", "--all-targets", "--package", "sommos-processors"])
        .args([
            "--package",
            "sommos-edge",
            "--features",
            "sommos-edge/processors",
        ])
        .args(["--", "-D", "warnings"]);
    tally.check(clippy.run());
    tally.count(cargo(["test", "--package", "sommos-processors"]))?;
    tally.check(edge::build(true, false, false));
    for part in ["processors", "examples"] {
        tally.count(Step::new("node").args(["edge-worker/test/run.mjs", part]))?;
    }
    tally.count(cargo(VECTORS_EDGE).args(["--", "build-processors"]))
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn closing_lines_are_added_up() {
        let mut tally = Tally::default();
        tally.read("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured");
        tally.read("test result: FAILED. 1 passed; 2 failed; 0 ignored");
        tally.read("150 passed, 3 failed");
        tally.read("running 12 tests");
        assert_eq!((tally.passed, tally.failed), (163, 5));
    }
}
