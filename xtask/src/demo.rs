//! `cargo xtask demo`: the package's demonstration, built and served with the headers that let it
//! run threads.

use std::path::Path;

use crate::{node, shell::Step, wasm};

const FOLDER: &str = "pkg/demo";

/// Builds the demonstration into `pkg/demo/dist`, the package before when it is not there, and
/// serves it on `port` of 127.0.0.1 until it is interrupted. With `build_only` it is not served.
pub fn run(build_only: bool, port: u16) -> anyhow::Result<()> {
    if !Path::new("pkg/dist/browser.js").exists() {
        wasm::build_pkg(false, &[])?;
    }
    node::install(Path::new(FOLDER))?;
    let vite = format!("{FOLDER}/node_modules/vite/bin/vite.js");
    Step::new("node").args([&vite, "build", FOLDER]).run()?;
    if build_only {
        return Ok(());
    }
    // Vite prints the address; its configuration has the headers.
    Step::new("node")
        .args([&vite, "preview", FOLDER, "--port", &port.to_string()])
        .run()
}
