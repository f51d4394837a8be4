//! Which Rust builds the wasm variants: the active toolchain where it can, else Debian's.

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::{node, shell::Step};

/// Which Rust with the sources of its standard library builds for wasm32-unknown-unknown here. The
/// library is built anew: threads need it with atomics, and sizes need it without panic messages.
pub enum WasmRust {
    /// The active toolchain.
    Active,
    /// Debian's compiler, beside rustup's.
    Debian,
}

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCES: &str = "/usr/lib/rustlib/src/rust/library/std";
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];

/// Installs what is lacking: a way to compile for wasm, the programs that tests run, npm's packages.
///
/// # Errors
/// The first that could not be installed; the others are tried nevertheless.
pub fn setup() -> anyhow::Result<()> {
    let npm = |folder| node::install(Path::new(folder));
    let all = [
        find().map(drop),
        node().map(drop),
        npm("pkg"),
        npm("pkg/demo"),
        npm("edge-worker"),
        chromium(),
        redis(),
        prometheus(),
    ];
    all.into_iter().collect::<anyhow::Result<()>>()?;
    println!("everything that the build and the tests need is here");
    Ok(())
}

/// The version of Node, which must be 20 or newer.
pub fn node() -> anyhow::Result<String> {
    let version = Step::new("node").args(["--version"]).output().context(
        "node was not found: the wasm tests run in Node 20 or newer; install it from nodejs.org",
    )?;
    let major: u32 = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|m| m.parse().ok())
        .with_context(|| format!("node --version printed {version:?}"))?;
    if major < 20 {
        bail!("node {version} is too old: 20 or newer is needed");
    }
    Ok(version)
}

/// Installs packages where Debian's can be had; elsewhere it does nothing, and the caller looks.
fn debian(packages: &[&str]) -> anyhow::Result<()> {
    let apt = |args: &[&str]| Step::new("apt-get").args(args);
    if Path::new("/usr/bin/apt-get").exists() && apt(&["update", "-qq"]).run().is_ok() {
        let install = ["install", "-y", "-qq", "--no-install-recommends"];
        apt(&install).args(packages).run()?;
    }
    Ok(())
}

/// Installs Chromium where Debian's packages can be had.
pub fn chromium() -> anyhow::Result<()> {
    const PROGRAM: &str = "/usr/bin/chromium";
    if Path::new(PROGRAM).exists() || std::env::var_os("CHROMIUM").is_some() {
        return Ok(());
    }
    debian(&["chromium"])?;
    if !Path::new(PROGRAM).exists() {
        bail!("no Chromium: install it, or name its program in CHROMIUM");
    }
    Ok(())
}

/// Installs Prometheus and promtool where Debian's packages can be had.
pub fn prometheus() -> anyhow::Result<()> {
    let here = || Step::new("promtool").args(["--version"]).output().is_some();
    if here() {
        return Ok(());
    }
    debian(&["prometheus"])?;
    if !here() {
        bail!("no Prometheus: install prometheus and promtool, on Debian the package prometheus");
    }
    Ok(())
}

/// Installs the nightly toolchain with Miri where there is none.
///
/// # Errors
/// When rustup cannot install it.
pub fn miri() -> anyhow::Result<()> {
    let has = || Step::new("rustup").args(["run", "nightly", "cargo", "miri", "--version"]);
    if has().output().is_none() {
        let install = ["toolchain", "install", "nightly", "--profile", "minimal"];
        let parts = ["--component", "miri", "--component", "rust-src"];
        Step::new("rustup").args(install).args(parts).run()?;
    }
    Ok(())
}

/// The Redis and the load balancer that the tests of several servers start.
///
/// # Errors
/// When one is not there and cannot be installed.
pub fn redis() -> anyhow::Result<()> {
    let here = |program| Step::new(program).args(["-v"]).output().is_some();
    for program in ["redis-server", "haproxy", "faketime"] {
        if !here(program) {
            debian(&[program])?;
        }
        if !here(program) {
            bail!("no {program}: install it, on Debian the package of that name");
        }
    }
    Ok(())
}

/// Looks for a toolchain, trying to add what lacks: rustup's sources first, then Debian's packages.
pub fn find() -> anyhow::Result<WasmRust> {
    if let Some(found) = look() {
        return Ok(found);
    }
    eprintln!("the sources of Rust's standard library are not here; trying to add them");
    let add = ["component", "add", "rust-src"];
    if Step::new("rustup").args(add).run().is_ok()
        && let Some(found) = look()
    {
        return Ok(found);
    }
    let apt = |args: &[&str]| Step::new("apt-get").args(args).run();
    if Path::new("/usr/bin/apt-get").exists() && apt(&["update", "-qq"]).is_ok() {
        let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
        install.extend(DEBIAN_PACKAGES);
        apt(&install)?;
    }
    look().context(
        "no Rust for wasm32-unknown-unknown: run `rustup component add rust-src`, or on Debian \
         `apt-get install rustc-web cargo-web rust-web-src lld-22`",
    )
}

fn look() -> Option<WasmRust> {
    let sysroot = Step::new("rustc").args(["--print", "sysroot"]).output()?;
    let sources = "lib/rustlib/src/rust/library/std";
    if Path::new(&sysroot).join(sources).exists() {
        return Some(WasmRust::Active);
    }
    let debian = Path::new(DEBIAN_RUSTC).exists() && Path::new(DEBIAN_SOURCES).exists();
    debian.then_some(WasmRust::Debian)
}

impl WasmRust {
    /// A cargo command for this toolchain, with the flags that its standard library needs. What
    /// rustup hands to xtask must not reach the other compiler.
    pub fn cargo(&self, command: &str) -> Step {
        const RUSTUP: [&str; 6] = [
            "RUSTUP_TOOLCHAIN",
            "CARGO",
            "RUSTC",
            "RUSTDOC",
            "RUSTFLAGS",
            "RUSTUP_HOME",
        ];
        const BUILD_STD: &str = "-Zbuild-std=std,panic_abort";
        // Without backtraces, and what reads them: nothing here can show one.
        const BUILD_STD_FEATURES: &str = "-Zbuild-std-features=";
        let step = match self {
            Self::Active => Step::new("cargo")
                .args([command, BUILD_STD, BUILD_STD_FEATURES])
                .env("RUSTC_BOOTSTRAP", "1"),
            Self::Debian => {
                let linker = "target.wasm32-unknown-unknown.linker=\"wasm-ld-22\"";
                return Step::new("/usr/bin/cargo")
                    .without(&RUSTUP)
                    .args([command, BUILD_STD, BUILD_STD_FEATURES])
                    .args(["--config", linker])
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("RUSTC_BOOTSTRAP", "1");
            }
        };
        step.without(&["RUSTFLAGS"])
    }

    /// Compiler flags that make a module a sixth smaller: a panic traps without formatting a
    /// message, and no source path is in the module.
    pub fn lean_flags(&self) -> &'static str {
        let rustc = match self {
            Self::Active => "rustc",
            Self::Debian => DEBIAN_RUSTC,
        };
        let version = Step::new(rustc).args(["--version"]).output();
        let minor = version
            .as_deref()
            .and_then(|v| v.split('.').nth(1)?.parse::<u32>().ok());
        // Before 1.92 the strategy was a feature of the standard library.
        if minor.is_some_and(|minor| minor >= 92) {
            " -Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none"
        } else {
            " -Zlocation-detail=none"
        }
    }
}
