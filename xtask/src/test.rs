//! `cargo xtask test`: the groups, one after the other, and the one line that sums them up.

use std::path::Path;

use anyhow::bail;

use crate::{
    ahead::{
        Ahead,
        Need::{self, Package, PanickingWorker, Tools, Worker},
    },
    demo, edge, node,
    shell::{Step, cargo},
    suite::{self, Suite},
    toolchain,
};

/// What a group counted.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

/// What groups share.
struct Shared {
    ahead: Ahead,
    suite: Option<Suite>,
}

struct Group {
    name: &'static str,
    /// What must have been made before it runs.
    needs: &'static [Need],
    run: fn(&mut Tally, &mut Shared) -> anyhow::Result<()>,
}

/// In this order. What the last ones need is made while the first ones run. Three are run only when
/// they are named: several servers with one Redis fail, wait and recover for minutes, the
/// JavaScript engine of `processors` takes minutes to compile, and Miri wants another toolchain.
const GROUPS: [Group; 10] = [
    Group::new("lint", &[], lint),
    Group::new("core", &[], core),
    Group::new("server", &[], server),
    Group::new("vectors", &[], vectors),
    Group::new("redis", &[Tools], redis),
    Group::new("dashboard", &[Tools], dashboard),
    Group::new("package", &[Tools, Package], package),
    Group::new("edge", &[Tools, PanickingWorker, Worker], edge),
    Group::new("processors", &[Tools], processors),
    Group::new("miri", &[], miri),
];
const BY_NAME: [&str; 3] = ["redis", "processors", "miri"];

impl Group {
    const fn new(
        name: &'static str,
        needs: &'static [Need],
        run: fn(&mut Tally, &mut Shared) -> anyhow::Result<()>,
    ) -> Self {
        Self { name, needs, run }
    }

    /// Runs it when all that it needs is there; prints what it counted.
    fn count(&self, shared: &mut Shared) -> Tally {
        let mut tally = Tally::default();
        println!("== {}", self.name);
        for need in self.needs {
            let made = shared.ahead.finish(*need);
            // Of the tools a group may need but one, and says itself what lacks.
            if *need != Tools {
                tally.check(made);
            }
        }
        if let Err(error) = (self.run)(&mut tally, shared) {
            println!("{}: {error:#}", self.name);
            tally.failed = tally.failed.max(1);
        }
        let Tally { passed, failed } = tally;
        println!("== {}: {passed} passed, {failed} failed", self.name);
        tally
    }
}

/// Runs the groups named (none: all). Ends the process with 1 when anything failed.
pub fn run(only: &[String]) -> anyhow::Result<()> {
    let names: Vec<_> = GROUPS.iter().map(|g| g.name).collect();
    if let Some(unknown) = only.iter().find(|n| !names.contains(&n.as_str())) {
        bail!("unknown group {unknown:?}; known: {}", names.join(" "));
    }
    let chosen = |group: &&Group| match only {
        [] => !BY_NAME.contains(&group.name),
        only => only.iter().any(|name| name == group.name),
    };
    let groups: Vec<_> = GROUPS.iter().filter(chosen).collect();
    let mut needs = Vec::new();
    for need in groups.iter().flat_map(|group| group.needs) {
        if !needs.contains(need) {
            needs.push(*need);
        }
    }
    let mut shared = Shared {
        ahead: Ahead::begin(needs)?,
        suite: None,
    };
    let mut total = Tally::default();
    for group in groups {
        let tally = group.count(&mut shared);
        total.passed += tally.passed;
        total.failed += tally.failed;
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed > 0 {
        std::process::exit(1);
    }
    Ok(())
}

impl Shared {
    /// The tests of the host, which are built by the first group that needs them.
    fn suite(&mut self) -> anyhow::Result<&Suite> {
        let suite = match self.suite.take() {
            Some(built) => built,
            None => suite::build()?,
        };
        Ok(self.suite.insert(suite))
    }
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

    /// Counts several commands.
    fn count_all(&mut self, steps: impl Iterator<Item = Step>) -> anyhow::Result<()> {
        steps.into_iter().try_for_each(|step| self.count(step))
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

fn lint(tally: &mut Tally, _: &mut Shared) -> anyhow::Result<()> {
    tally.check(cargo(["fmt", "--all", "--check"]).run());
    // The second: what `--all-targets` leaves out, because it is run by name alone.
    let by_name = [
        "--test",
        "redis",
        "--test",
        "prometheus",
        "--test",
        "sampling_cost",
    ];
    for targets in [&["--all-targets"][..], &by_name] {
        let clippy = cargo(["clippy", "--workspace", "--exclude", "sommos-processors"])
            .args(targets)
            .args(["--features", CORE_FEATURES])
            .args(["--", "-D", "warnings"]);
        tally.check(clippy.run());
    }
    Ok(())
}

/// What the server asks of core.
const CORE_FEATURES: &str = "sommos-core/rayon,sommos-core/native-codecs,sommos-core/openapi";

fn core(tally: &mut Tally, shared: &mut Shared) -> anyhow::Result<()> {
    // Both ways of building it: as the shells without threads do, and as the server does.
    tally.count(cargo(["test", "--package", "sommos-core", "--lib"]))?;
    tally.count_all(shared.suite()?.tests("core"))?;
    tally.count(suite::documentation())
}

fn server(tally: &mut Tally, shared: &mut Shared) -> anyhow::Result<()> {
    tally.count_all(shared.suite()?.tests("native-server"))?;
    // By itself, as it was built to run.
    tally.count(cargo(["test", "--package", "xtask"]))
}

fn vectors(tally: &mut Tally, shared: &mut Shared) -> anyhow::Result<()> {
    let suite = shared.suite()?;
    tally.count_all(suite.tests("tests"))?;
    tally.count(suite.program("vectors")?)
}

/// The package as it is published, its tests and every vector in Node and in Chromium.
fn package(tally: &mut Tally, shared: &mut Shared) -> anyhow::Result<()> {
    toolchain::node()?;
    toolchain::chromium()?;
    let suite = shared.suite()?;
    for place in ["node", "chromium"] {
        tally.count(Step::new("node").args(["pkg/test/run.mjs", place]))?;
        tally.count(suite.program("vectors_wasm")?.args([place, "pkg"]))?;
    }
    tally.count(Step::new("node").args(["pkg/test/tabs.mjs"]))?;
    tally.count(Step::new("node").args(["pkg/test/consumers.mjs"]))?;
    demo::run(true, 0)?;
    tally.count(Step::new("node").args(["pkg/test/demo.mjs"]))
}

/// The dashboard in Chromium against the server that was built.
fn dashboard(tally: &mut Tally, shared: &mut Shared) -> anyhow::Result<()> {
    toolchain::node()?;
    toolchain::chromium()?;
    shared.suite()?;
    tally.count(Step::new("node").args(["native-server/tests/dashboard/run.mjs"]))?;
    toolchain::prometheus()?;
    tally.count(suite::named("prometheus"))
}

/// Several servers with one Redis.
fn redis(tally: &mut Tally, shared: &mut Shared) -> anyhow::Result<()> {
    toolchain::redis()?;
    toolchain::node()?;
    node::install(Path::new("native-server/tests/redis/node"))?;
    tally.count(shared.suite()?.program("vectors_redis")?)?;
    tally.count(suite::named("redis"))
}

/// The edge worker in workerd: as it is deployed, and with panics.
fn edge(tally: &mut Tally, shared: &mut Shared) -> anyhow::Result<()> {
    toolchain::node()?;
    toolchain::chromium()?;
    let suite = shared.suite()?;
    tally.count_all(suite.tests("edge-worker"))?;
    tally.count(Step::new("node").args(["edge-worker/test/run.mjs"]))?;
    tally.count(suite.program("vectors_edge")?.args(["build"]))
}

/// JavaScript processors at the edge.
fn processors(tally: &mut Tally, shared: &mut Shared) -> anyhow::Result<()> {
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
    let suite = shared.suite()?;
    tally.count(suite.program("vectors_edge")?.args(["build-processors"]))
}

/// The unsafe code of core, interpreted: what it reads and writes is checked step by step.
fn miri(tally: &mut Tally, _shared: &mut Shared) -> anyhow::Result<()> {
    // Not `matrix::avx512`, whose instructions Miri does not know: its tests compare with margins.
    const UNSAFE: [&str; 6] = [
        "batch::operations::marks",
        "cache::hardware",
        "cache::buckets::tests::agrees",
        "similarity::filled",
        "matrix::panel",
        "matrix::tiles",
    ];
    toolchain::miri()?;
    // Not as this process was started: the active toolchain's cargo has no Miri.
    let test = [
        "run",
        "nightly",
        "cargo",
        "miri",
        "test",
        "--package",
        "sommos-core",
        "--lib",
    ];
    let test = Step::new("rustup")
        .args(test)
        .args(["--target-dir", "target/miri", "--"]);
    tally.count(test.args(UNSAFE))
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
