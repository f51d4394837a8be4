//! The peers of the benchmarks that are no crates: installed below `target/peers`, as far as they
//! can be had. A benchmark whose peer is missing says so and measures the rest.

use std::path::{Path, PathBuf};

use crate::shell::{Step, root};

const PYTHON_PACKAGES: [&str; 5] = [
    "numpy",
    "scipy",
    "scikit-surprise",
    "scikit-learn",
    "implicit",
];
const NODE_PACKAGES: [&str; 4] = ["bullmq", "ioredis", "express", "ml-matrix"];
/// Debian's package, and the program that it brings.
const DEBIAN_PACKAGES: [(&str, &str); 2] = [
    ("wrk", "/usr/bin/wrk"),
    ("redis-server", "/usr/bin/redis-server"),
];

/// Where the benchmarks find their peers: environment variables. `named` tells whether a benchmark
/// runs; what only one of them needs, and takes minutes to build, is installed for it alone.
pub fn install(named: impl Fn(&str) -> bool) -> Vec<(&'static str, PathBuf)> {
    let folder = root().join("target/peers");
    let python = python(&folder.join("python"));
    let node = node(&folder.join("node"));
    for (package, program) in DEBIAN_PACKAGES {
        if !Path::new(program).exists() && Path::new("/usr/bin/apt-get").exists() {
            let install = ["install", "-y", "-qq", "--no-install-recommends", package];
            attempt(Step::new("apt-get").args(["update", "-qq"]));
            attempt(Step::new("apt-get").args(install));
        }
    }
    vec![
        ("PYTHON", python.clone()),
        ("SOMMOS_PYTHON", python),
        ("NODE_PATH", node),
        ("OHA", oha(&folder.join("oha"), named("load"))),
    ]
}

/// oha is in no distribution: built from its crate, once.
fn oha(folder: &Path, wanted: bool) -> PathBuf {
    let given = std::env::var_os("OHA").map(PathBuf::from);
    let oha = given.unwrap_or_else(|| folder.join("bin/oha"));
    if wanted && !oha.exists() {
        let install = ["install", "oha", "--locked", "--quiet", "--root"];
        attempt(Step::new("cargo").args(install).args([folder]));
    }
    oha
}

fn python(folder: &Path) -> PathBuf {
    let python = folder.join("bin/python");
    // What was installed: without it, or with fewer, the installation is tried again.
    let mark = folder.join("installed");
    let packages = PYTHON_PACKAGES.join(" ");
    if std::fs::read_to_string(&mark).ok().as_deref() != Some(&packages) {
        attempt(Step::new("python3").args(["-m", "venv"]).args([folder]));
        let pip = ["-m", "pip", "install", "--quiet"];
        if attempt(Step::new(&python).args(pip).args(PYTHON_PACKAGES)) {
            let _ = std::fs::write(mark, packages);
        }
    }
    if python.exists() {
        python
    } else {
        PathBuf::from("python3")
    }
}

fn node(folder: &Path) -> PathBuf {
    let modules = folder.join("node_modules");
    if !modules.join("bullmq").exists() {
        let install = ["install", "--silent", "--no-save", "--prefix"];
        attempt(
            Step::new("npm")
                .args(install)
                .args([folder])
                .args(NODE_PACKAGES),
        );
    }
    modules
}

/// Whether it went well; if not, the benchmark's own note says what is missing.
fn attempt(step: Step) -> bool {
    match step.run() {
        Ok(()) => true,
        Err(error) => {
            eprintln!("{error:#}");
            false
        }
    }
}
