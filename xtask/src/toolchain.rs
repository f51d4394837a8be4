//! Which Rust builds the wasm variants: the active toolchain where it can, else Debian's.

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::shell::Step;

/// How to build for wasm32-unknown-unknown here.
pub enum WasmRust {
    /// The active toolchain has a prebuilt standard library for wasm.
    Prebuilt,
    /// The active toolchain has the library's sources.
    Sources,
    /// Debian's compiler with its sources, beside rustup's.
    Debian,
}

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCES: &str = "/usr/lib/rustlib/src/rust/library/std";
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];

/// Installs what is lacking: today a way to compile for wasm.
pub fn setup() -> anyhow::Result<()> {
    find(false)?;
    find(true)?;
    node()?;
    chromium()?;
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

/// Installs Chromium where Debian's packages can be had.
pub fn chromium() -> anyhow::Result<()> {
    const PROGRAM: &str = "/usr/bin/chromium";
    if Path::new(PROGRAM).exists() || std::env::var_os("CHROMIUM").is_some() {
        return Ok(());
    }
    let apt = |args: &[&str]| Step::new("apt-get").args(args).run();
    if Path::new("/usr/bin/apt-get").exists() && apt(&["update", "-qq"]).is_ok() {
        let install = [
            "install",
            "-y",
            "-qq",
            "--no-install-recommends",
            "chromium",
        ];
        apt(&install)?;
    }
    if !Path::new(PROGRAM).exists() {
        bail!("no Chromium: install it, or name its program in CHROMIUM");
    }
    Ok(())
}

/// Looks for a toolchain, trying to add what lacks: rustup's first, then Debian's packages. The
/// threaded build needs the sources of the standard library.
pub fn find(sources: bool) -> anyhow::Result<WasmRust> {
    if let Some(found) = look(sources) {
        return Ok(found);
    }
    eprintln!("no Rust for wasm32-unknown-unknown is here; trying to add one");
    let add = if sources {
        ["component", "add", "rust-src"]
    } else {
        ["target", "add", "wasm32-unknown-unknown"]
    };
    if Step::new("rustup").args(add).run().is_ok()
        && let Some(found) = look(sources)
    {
        return Ok(found);
    }
    let apt = |args: &[&str]| Step::new("apt-get").args(args).run();
    if Path::new("/usr/bin/apt-get").exists() && apt(&["update", "-qq"]).is_ok() {
        let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
        install.extend(DEBIAN_PACKAGES);
        apt(&install)?;
    }
    look(sources).context(
        "no Rust for wasm32-unknown-unknown: run `rustup target add wasm32-unknown-unknown` and \
         `rustup component add rust-src`, or on Debian `apt-get install rustc-web cargo-web \
         rust-web-src lld-22`",
    )
}

fn look(sources: bool) -> Option<WasmRust> {
    let sysroot = Step::new("rustc").args(["--print", "sysroot"]).output()?;
    let lib = Path::new(&sysroot).join("lib/rustlib");
    if !sources && lib.join("wasm32-unknown-unknown/lib").exists() {
        return Some(WasmRust::Prebuilt);
    }
    if lib.join("src/rust/library/std").exists() {
        return Some(WasmRust::Sources);
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
        let step = match self {
            Self::Prebuilt => Step::new("cargo").args([command]),
            Self::Sources => Step::new("cargo")
                .args([command, BUILD_STD])
                .env("RUSTC_BOOTSTRAP", "1"),
            Self::Debian => {
                let linker = "target.wasm32-unknown-unknown.linker=\"wasm-ld-22\"";
                return Step::new("/usr/bin/cargo")
                    .without(&RUSTUP)
                    .args([command, BUILD_STD, "--config", linker])
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("RUSTC_BOOTSTRAP", "1");
            }
        };
        step.without(&["RUSTFLAGS"])
    }
}
