//! The server binary.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use sommos_server::{
    allocator::CountingAllocator,
    app::Parts,
    config::{Config, LogFormat},
    http::openapi_document,
    sandbox,
    server::Server,
};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    config: Config,
}

#[derive(Subcommand)]
enum Command {
    /// Write the OpenAPI document to standard output.
    Openapi,
}

fn main() -> ExitCode {
    // First of all: a sandbox child must open nothing and start no thread.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == sandbox::CHILD_COMMAND)
    {
        return sandbox::child_main();
    }
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Openapi) => openapi_document()
            .map(|json| println!("{json}"))
            .context("OpenAPI"),
        None => serve(cli.config),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sommos-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    log(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = Server::bind(config, Parts::default()).await?;
        println!("listening on http://{}", server.address);
        let layers = server.app.sandbox.layers();
        tracing::info!(?layers, "processors are confined");
        server.run(stopped()).await
    })
}

fn log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).context("--log")?;
    // The address goes to standard output, the log to standard error.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// Resolves on SIGTERM or SIGINT.
async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut term) = signal(SignalKind::terminate()) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    #[cfg(not(unix))]
    {
        // Without a handler there is nothing to wait for but the end of the process.
        let _ = tokio::signal::ctrl_c().await;
    }
}
