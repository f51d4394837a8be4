//! The edge worker: one ES module and one wasm module, as Cloudflare runs them.

use std::{fs, path::Path};

use anyhow::Context as _;
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    fuel, node, pages,
    shell::Step,
    wasm::{Build, Compile},
};

const FOLDER: &str = "edge-worker";
/// The bindings, before `scripts/bundle.mjs` joins them with the shim.
const BINDINGS: &str = "target/edge";
/// The JavaScript engine in that folder, where it is asked for.
const ENGINE: &str = "processors.wasm";
/// Steps of work that a chunk may take.
const ENGINE_STEPS: i64 = 1_000_000_000;

/// The feature of the worker that panics when asked to.
const PANICKING: &str = "test-panic";

/// Most bytes of all files together after gzip -9. The larger is with the JavaScript engine.
const LIMIT_BYTES: &str = "400000";
const LIMIT_BYTES_WITH_PROCESSORS: &str = "2500000";

/// Set to 1, what is deployed from `edge-worker/build` has processors.
const PROCESSORS_VARIABLE: &str = "SOMMOS_EDGE_PROCESSORS";

/// Builds what is deployed into `edge-worker/build`, or with `processors` into
/// `edge-worker/build-processors`, so that both can stand side by side. With `dev` without
/// link-time optimization and wasm-opt. Sizes are printed, and held to their limits unless `dev` or
/// `any_size` is set.
pub fn build(processors: bool, dev: bool, any_size: bool) -> anyhow::Result<()> {
    let asked = std::env::var_os(PROCESSORS_VARIABLE).is_some_and(|value| value == "1");
    let out = if processors {
        "build-processors"
    } else {
        "build"
    };
    let (features, limit) = if processors || asked {
        build_engine(dev)?;
        ("processors", LIMIT_BYTES_WITH_PROCESSORS)
    } else {
        ("", LIMIT_BYTES)
    };
    let limit = (!dev && !any_size).then_some(limit);
    bundle(features, dev, out, limit)
}

/// The JavaScript engine as a module of its own, beside the bindings.
fn build_engine(dev: bool) -> anyhow::Result<()> {
    let folder = Path::new(FOLDER);
    node::install(folder)?;
    let module = Compile {
        package: "sommos-processors",
        features: "",
        build: Build::Processors,
        level: "s",
        dev,
    }
    .run()?;
    fs::create_dir_all(BINDINGS)?;
    let copy = Path::new(BINDINGS).join(ENGINE);
    fuel::meter(&module, &copy, ENGINE_STEPS)?;
    pages::count(&copy)?;
    if !dev {
        node::wasm_opt(folder, &copy, &["-O2"])?;
    }
    Ok(())
}

/// Builds what the tests of the shim run, a worker that panics when asked to, into
/// `edge-worker/build-panic`; without wasm-opt, which takes a minute.
pub fn build_panicking(dev: bool) -> anyhow::Result<()> {
    bundle(PANICKING, dev, "build-panic", None)
}

/// Compiles with these features and bundles into a folder of `edge-worker`.
fn bundle(features: &str, dev: bool, out: &str, limit: Option<&str>) -> anyhow::Result<()> {
    let folder = Path::new(FOLDER);
    node::install(folder)?;
    let module = Compile {
        package: "sommos-edge",
        features,
        build: Build::Worker,
        level: "z",
        dev,
    }
    .run()?;
    bind(&module)?;
    if !dev && features != PANICKING {
        // The bindings catch what JavaScript throws. Repeated until nothing changes (--converge) it
        // took twice as long for 0.1 % of the size.
        let features = ["-Oz", "--enable-exception-handling"];
        node::wasm_opt(
            folder,
            &Path::new(BINDINGS).join("index_bg.wasm"),
            &features,
        )?;
    }
    Step::new("node")
        .args([folder.join("scripts/bundle.mjs")])
        .args([BINDINGS, out])
        .args((features == "processors").then_some("--processors"))
        .args(limit.map(|bytes| format!("--limit={bytes}")))
        .run()
}

/// The bindings as a module that is instantiated at once and can be made anew after a trap.
fn bind(module: &Path) -> anyhow::Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(module)
        .out_name("index")
        .module(true)
        .context("wasm-bindgen")?;
    bindgen
        .typescript(false)
        .reset_state_function(true)
        .force_enable_abort_handler(true);
    bindgen.generate(BINDINGS).context("wasm-bindgen")
}
