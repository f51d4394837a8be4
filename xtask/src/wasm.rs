//! The package's modules: cargo, wasm-bindgen as a library (its version is that of the crate),
//! wasm-opt, and the TypeScript around them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use wasm_bindgen_cli_support::Bindgen;

use crate::{node, shell::Step, toolchain};

/// One module of the package.
struct Module {
    name: &'static str,
    features: &'static str,
    build: Build,
    /// Whether size comes before speed: no kernel is in it.
    small: bool,
}

/// How a module is compiled; each way has a target folder of its own.
#[derive(Clone, Copy, PartialEq)]
pub enum Build {
    /// One thread, with SIMD.
    Simd,
    /// One thread, for engines without SIMD.
    Scalar,
    /// Shared memory and SIMD.
    Threads,
    /// As `Simd`: the edge worker, optimized for size.
    Worker,
    /// One thread, in a bounded memory that is imported: the JavaScript engine.
    Processors,
}

const MODULES: [Module; 8] = [
    Module::new("engine", "engine", Build::Scalar),
    Module::new("monitor", "monitor", Build::Scalar).small(),
    Module::new("scalar", "compute", Build::Scalar),
    Module::new("compute", "compute", Build::Simd),
    Module::new("threads", "threads", Build::Threads),
    Module::new("tasks", "tasks", Build::Simd),
    Module::new("codecs", "codecs", Build::Simd),
    Module::new("service", "service", Build::Simd),
];

/// Most memory of the threaded module, bytes: shared memory must be reserved at its start.
const SHARED_MEMORY_BYTES: usize = 1 << 30;
/// Memory of the JavaScript engine, bytes: `edge-worker/shim/processors.js` makes it.
const PROCESSORS_MEMORY_BYTES: usize = 64 << 20;
const PROCESSORS_MEMORY_BYTES_AT_START: usize = 3 << 20;
const PROCESSORS_STACK_BYTES: usize = 1 << 20;

impl Module {
    const fn new(name: &'static str, features: &'static str, build: Build) -> Self {
        Self {
            name,
            features,
            build,
            small: false,
        }
    }

    const fn small(mut self) -> Self {
        self.small = true;
        self
    }

    /// Compiles it and writes its bindings to `pkg/src/generated/NAME`.
    fn build(&self, dev: bool) -> anyhow::Result<()> {
        let module = Compile {
            package: "sommos-wasm",
            features: self.features,
            build: self.build,
            level: if self.small { "s" } else { "3" },
            dev,
        }
        .run()?;
        let out = PathBuf::from("pkg/src/generated").join(self.name);
        let mut bindgen = Bindgen::new();
        bindgen
            .input_path(&module)
            .out_name(self.name)
            .web(true)
            .context("wasm-bindgen")?;
        bindgen.typescript(true).omit_default_module_path(true);
        bindgen.generate(&out).context("wasm-bindgen")?;
        if !dev {
            let bound = out.join(format!("{}_bg.wasm", self.name));
            node::wasm_opt(Path::new("pkg"), &bound, &["-O2"])?;
        }
        Ok(())
    }
}

/// One compilation to wasm.
pub struct Compile<'a> {
    /// The package whose library it is.
    pub package: &'a str,
    /// Its features, without the default ones.
    pub features: &'a str,
    /// How it is compiled.
    pub build: Build,
    /// Its level of optimization.
    pub level: &'a str,
    /// Faster to build: no link-time optimization, panics with their messages.
    pub dev: bool,
}

impl Compile<'_> {
    /// Compiles, and gives where the module is.
    pub fn run(&self) -> anyhow::Result<PathBuf> {
        let target = self.build.target_dir();
        let profile = if self.dev { "release" } else { "wasm" };
        let rust = toolchain::find()?;
        let mut flags = self.build.rustflags();
        let mut level = "3";
        if !self.dev {
            flags.push_str(rust.lean_flags());
            level = self.level;
        }
        rust.cargo("build")
            .args(["--quiet", "--package", self.package, "--lib"])
            .args(["--no-default-features", "--features", self.features])
            .args(["--profile", profile, "--target", TARGET])
            .args(["--target-dir", target])
            .env("RUSTFLAGS", flags)
            .env("CARGO_PROFILE_WASM_OPT_LEVEL", level)
            .run()?;
        let name = self.package.replace('-', "_");
        Ok(Path::new(target)
            .join(TARGET)
            .join(profile)
            .join(format!("{name}.wasm")))
    }
}

const TARGET: &str = "wasm32-unknown-unknown";

impl Build {
    fn target_dir(self) -> &'static str {
        match self {
            Self::Simd => "target/wasm-simd",
            Self::Scalar => "target/wasm-scalar",
            Self::Threads => "target/wasm-threads",
            Self::Worker => "target/wasm-worker",
            Self::Processors => "target/wasm-processors",
        }
    }

    fn rustflags(self) -> String {
        match self {
            Self::Simd | Self::Worker => "-C target-feature=+simd128".to_owned(),
            Self::Scalar => String::new(),
            // rustc no longer passes the linker's flags by itself.
            Self::Threads => format!(
                "-C target-feature=+simd128,+atomics,+bulk-memory,+mutable-globals \
                 -C link-arg=--shared-memory -C link-arg=--max-memory={SHARED_MEMORY_BYTES} \
                 -C link-arg=--import-memory -C link-arg=--export=__wasm_init_tls \
                 -C link-arg=--export=__tls_size -C link-arg=--export=__tls_align \
                 -C link-arg=--export=__tls_base"
            ),
            Self::Processors => format!(
                "--cfg getrandom_backend=\"custom\" \
                 -C link-arg=--import-memory -C link-arg=--max-memory={PROCESSORS_MEMORY_BYTES} \
                 -C link-arg=--initial-memory={PROCESSORS_MEMORY_BYTES_AT_START} \
                 -C link-arg=-zstack-size={PROCESSORS_STACK_BYTES}"
            ),
        }
    }
}

/// Builds the package into `pkg/dist`: every module, the facade, the types. With `dev` without
/// link-time optimization and wasm-opt, and sizes are not held to their limits. `only` names the
/// modules to build anew.
pub fn build_pkg(dev: bool, only: &[String]) -> anyhow::Result<()> {
    node::install(Path::new("pkg"))?;
    let known: Vec<_> = MODULES.iter().map(|m| m.name).collect();
    for name in only {
        ensure!(
            known.contains(&name.as_str()),
            "unknown module {name:?}; known: {}",
            known.join(" ")
        );
    }
    // What lacks is installed here, once, and not by each lane.
    toolchain::find()?;
    let chosen = |module: &&Module| only.is_empty() || only.iter().any(|name| name == module.name);
    let build_all = |build: Build| {
        let modules = MODULES.iter().filter(chosen);
        let mut modules = modules.filter(|module| module.build == build);
        modules.try_for_each(|module| module.build(dev))
    };
    // Link-time optimization has one thread, and cargo works in one folder for one caller.
    std::thread::scope(|scope| {
        let build_all = &build_all;
        let lanes = [Build::Threads, Build::Simd, Build::Scalar]
            .map(|build| scope.spawn(move || build_all(build)));
        lanes.into_iter().try_for_each(|lane| match lane.join() {
            Ok(built) => built,
            Err(panicked) => std::panic::resume_unwind(panicked),
        })
    })?;
    let mut build = Step::new("node").args(["pkg/scripts/build.mjs"]);
    if dev {
        build = build.args(["--dev"]);
    }
    build.run()
}
