//! Replays every vector against the package: `vectors_wasm node|chromium FOLDER_OF_THE_PACKAGE`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use sommos_tests::{load_all, replay, wasm_shell::WasmHost};

fn main() -> anyhow::Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let (Some(place), Some(folder)) = (args.next(), args.next()) else {
        bail!("usage: vectors_wasm node|chromium FOLDER_OF_THE_PACKAGE");
    };
    let folder = PathBuf::from(folder)
        .canonicalize()
        .context("the package's folder")?;
    let vectors = load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors"))?;
    let host = WasmHost::start(&place, &folder)?;
    let (mut passed, mut failed) = (0, 0);
    for vector in &vectors {
        match host
            .open(vector)
            .and_then(|mut shell| replay(vector, &mut shell))
        {
            Ok(()) => passed += 1,
            Err(error) => {
                failed += 1;
                println!("FAILED wasm in {place}: {}\n    {error:#}", vector.id);
            }
        }
    }
    let cases = passed + failed;
    ensure!(
        cases == vectors.len(),
        "{cases} cases ran of {}",
        vectors.len()
    );
    println!("wasm in {place}: {cases} cases of {}", vectors.len());
    println!("{passed} passed, {failed} failed");
    Ok(if failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
