//! The wasm build: cargo, then wasm-bindgen as a library (its version is that of the crate).

use std::path::PathBuf;

use anyhow::Context as _;
use wasm_bindgen_cli_support::Bindgen;

use crate::toolchain;

/// Builds the single-threaded module and its bindings for Node; gives their folder.
pub fn build() -> anyhow::Result<PathBuf> {
    let target_dir = PathBuf::from("target/wasm-st");
    toolchain::find()?
        .cargo("build")
        .args([
            "--release",
            "--package",
            "sommos-wasm",
            "--target",
            "wasm32-unknown-unknown",
        ])
        .args(["--target-dir", "target/wasm-st"])
        .env("RUSTFLAGS", "-C target-feature=+simd128")
        .run()?;
    let module = target_dir.join("wasm32-unknown-unknown/release/sommos_wasm.wasm");
    let out = target_dir.join("node");
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(&module)
        .nodejs(true)
        .context("wasm-bindgen for Node")?;
    bindgen.generate(&out).context("wasm-bindgen")?;
    let bytes = std::fs::metadata(out.join("sommos_wasm_bg.wasm"))?.len();
    println!("wasm module: {bytes} bytes");
    Ok(out)
}
