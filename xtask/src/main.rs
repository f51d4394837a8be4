//! Automation of the workspace: `cargo xtask setup|build|build-pkg|build-edge|demo|serve|test|bench|soak|vectors|openapi`.

mod ahead;
mod demo;
mod edge;
mod fuel;
mod node;
mod pages;
mod peers;
mod shell;
mod suite;
mod test;
mod toolchain;
mod wasm;

use clap::{Parser, Subcommand};
use shell::{Step, cargo, root};

#[derive(Parser)]
#[command(about = "Automation of the SommOS workspace")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the build and the tests need beyond Rust and Node.
    Setup,
    /// Build the server (release) and the wasm package.
    Build,
    /// Build the npm package into pkg/dist; sizes are printed and held to their limits.
    BuildPkg {
        /// Faster to build: no link-time optimization, no wasm-opt, no limits.
        #[arg(long)]
        dev: bool,
        /// Modules to build anew: engine monitor scalar compute threads tasks codecs service; none: all.
        #[arg(long)]
        only: Vec<String>,
    },
    /// Build the edge worker into edge-worker/build; sizes are printed and held to their limits.
    BuildEdge {
        /// With JavaScript processors.
        #[arg(long)]
        processors: bool,
        /// Print sizes, but do not hold them to their limits.
        #[arg(long)]
        any_size: bool,
        /// Build into edge-worker/build-panic what the tests of panics run, and nothing else.
        #[arg(long, conflicts_with = "processors")]
        test_panic: bool,
        /// Faster to build: no link-time optimization, no wasm-opt, no limits.
        #[arg(long)]
        dev: bool,
    },
    /// Build and run the server; arguments after `--` are its own.
    Serve {
        /// Arguments of the server.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Build the package's demonstration and serve it on 127.0.0.1; the address is printed.
    Demo {
        /// Build pkg/demo/dist and end.
        #[arg(long)]
        build_only: bool,
        /// Port to serve on; the next free one when it is taken.
        #[arg(long, default_value_t = 4173)]
        port: u16,
    },
    /// Run every test but `processors`, or the groups named by --only; ends with one line `N passed, N failed`.
    Test {
        /// Groups: lint core server vectors redis dashboard package edge processors.
        #[arg(long)]
        only: Vec<String>,
    },
    /// Run benchmarks beside their peers: similarity matrix cache compress batch queue http load wasm.
    Bench {
        /// Names and options of the benchmarks (`--traces DIR`, `--ratings FILE`, `--json FILE`).
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run the long tests: simulation over many seeds, kill -9 under load, hostile input, real data.
    Soak {
        /// Names and options: simulation kill hostile limits cancel golden drain; none: all.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Replay the shared vectors against core and the server, and count them.
    Vectors,
    /// Write the OpenAPI document to standard output.
    Openapi,
}

fn main() -> anyhow::Result<()> {
    std::env::set_current_dir(root())?;
    match Cli::parse().command {
        Command::Setup => toolchain::setup(),
        Command::Build => {
            cargo(["build", "--release", "--package", "sommos-server"]).run()?;
            wasm::build_pkg(false, &[])
        }
        Command::BuildPkg { dev, only } => wasm::build_pkg(dev, &only),
        Command::BuildEdge {
            test_panic: true,
            dev,
            ..
        } => edge::build_panicking(dev),
        Command::BuildEdge {
            processors,
            dev,
            any_size,
            ..
        } => edge::build(processors, dev, any_size),
        Command::Demo { build_only, port } => demo::run(build_only, port),
        Command::Serve { args } => cargo(["run", "--release", "--package", "sommos-server", "--"])
            .args(args)
            .run(),
        Command::Test { only } => test::run(&only),
        Command::Bench { args } => bench(args),
        Command::Soak { args } => {
            cargo(["build", "--release", "--package", "sommos-server"]).run()?;
            cargo([
                "run",
                "--release",
                "--package",
                "sommos-tests",
                "--bin",
                "soak",
                "--",
            ])
            .args(args)
            .run()
        }
        Command::Vectors => test::run(&["vectors".to_owned()]),
        Command::Openapi => cargo([
            "run",
            "--quiet",
            "--package",
            "sommos-server",
            "--",
            "openapi",
        ])
        .run(),
    }
}

/// The names given, or all: natively in Rust, and the package (`wasm`) in Node and Chromium.
fn bench(args: Vec<String>) -> anyhow::Result<()> {
    let named = |name: &str| args.iter().any(|arg| arg == name);
    let rest: Vec<_> = args.iter().filter(|arg| *arg != "wasm").cloned().collect();
    if named("wasm") {
        toolchain::chromium()?;
        wasm::build_pkg(false, &[])?;
        let folder = std::path::Path::new("tests/bench/wasm");
        node::install(folder)?;
        let bench = folder.join("bench.mjs");
        return Step::new("node").args([bench]).args(rest).run();
    }
    cargo(["build", "--release", "--package", "sommos-server"]).run()?;
    let bench = cargo(["run", "--release", "--package", "sommos-bench", "--"]);
    peers::install(named)
        .into_iter()
        .fold(bench, |b, (key, path)| b.env(key, path))
        .args(rest)
        .run()
}
