//! npm packages and the tools that come with them.

use std::path::Path;

use anyhow::Context as _;

use crate::shell::Step;

/// Installs a folder's locked packages unless they are there.
pub fn install(folder: &Path) -> anyhow::Result<()> {
    let lock = folder.join("package-lock.json");
    // npm writes this copy of the lock when it is done.
    let installed = folder.join("node_modules/.package-lock.json");
    let age = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    if let (Some(lock), Some(installed)) = (age(&lock), age(&installed))
        && installed >= lock
    {
        return Ok(());
    }
    Step::new("npm")
        .args(["ci", "--silent", "--prefix"])
        .args([folder])
        .run()
        .context("npm could not install the package's tools")
}

/// Makes a module smaller in place, with the wasm-opt of a folder's packages. The inner loops of
/// products stay functions of their own: inside a large one the engines' compilers keep their sums
/// in memory.
///
/// `options` are the level and features that the compiler did not write into the module. Of the
/// levels -O2 alone leaves the start of threads intact in Node 20.
pub fn wasm_opt(folder: &Path, module: &Path, options: &[&str]) -> anyhow::Result<()> {
    Step::new(folder.join("node_modules/.bin/wasm-opt"))
        .args(["--no-inline=*block_f*"])
        .args(options)
        .args(["--strip-debug", "--strip-producers", "-o"])
        .args([module, module])
        .run()
}
