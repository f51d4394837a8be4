//! Replays every vector against the wasm module in Node: `vectors_wasm FOLDER_OF_THE_MODULE`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use sommos_tests::{load_all, replay, wasm_shell::WasmHost};

fn main() -> anyhow::Result<ExitCode> {
    let folder = std::env::args()
        .nth(1)
        .context("usage: vectors_wasm FOLDER_OF_THE_MODULE")?;
    let folder = PathBuf::from(folder)
        .canonicalize()
        .context("the module's folder")?;
    let vectors = load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors"))?;
    let host = WasmHost::start(&folder)?;
    let (mut passed, mut failed) = (0, 0);
    for vector in &vectors {
        match host
            .open(vector)
            .and_then(|mut shell| replay(vector, &mut shell))
        {
            Ok(()) => passed += 1,
            Err(error) => {
                failed += 1;
                println!("FAILED wasm: {}\n    {error:#}", vector.id);
            }
        }
    }
    println!("wasm: {} files, {} cases", vectors.len(), passed + failed);
    println!("{passed} passed, {failed} failed");
    Ok(if failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
