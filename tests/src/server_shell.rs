//! The server: its real code on a port of its own, asked over TCP, with a clock moved by hand.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::bail;
use sommos_core::time::Timestamp;
use sommos_server::{
    app::{App, Parts},
    config::Config,
    server::Server,
};
use tokio::{runtime::Runtime, sync::oneshot, task::JoinHandle};

use crate::{
    client::HttpClient,
    replay::{Reply, START_MS, Send, Shell},
    vector::Vector,
};

/// Running work gets so long when a case ends, milliseconds.
const GRACE_MS: u64 = 200;

/// What all servers of a run share.
pub struct Host {
    runtime: Runtime,
    sandbox_program: PathBuf,
    folder: PathBuf,
    opened: AtomicU64,
}

impl Host {
    /// A host whose sandbox children are the server's binary beside this one.
    ///
    /// # Errors
    /// When that binary has not been built.
    pub fn new() -> anyhow::Result<Self> {
        let name = format!("sommos-server{}", std::env::consts::EXE_SUFFIX);
        let sandbox_program = std::env::current_exe()?.with_file_name(name);
        if !sandbox_program.is_file() {
            bail!(
                "{} is missing: build it with `cargo build -p sommos-server` (with --release when \
                 this is a release build)",
                sandbox_program.display()
            );
        }
        let folder = std::env::temp_dir().join(format!("sommos-vectors-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?,
            sandbox_program,
            folder,
            opened: AtomicU64::new(0),
        })
    }

    /// A fresh server as the vector wants it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn open(&self, vector: &Vector) -> anyhow::Result<ServerShell<'_>> {
        let clock = Arc::new(AtomicU64::new(START_MS));
        let server = self.serve(self.config(vector), &clock)?;
        Ok(ServerShell { server, clock })
    }

    /// How a vector wants its server, in a folder of its own.
    pub(crate) fn config(&self, vector: &Vector) -> Config {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let mut config = Config::for_tests(self.folder.join(number.to_string()));
        config.grace_ms = GRACE_MS;
        config.limit = vector
            .limits
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let given = &vector.config;
        if let Some(size) = given.cache_max_size {
            config.cache_max_size = size;
        }
        if let Some(ttl) = given.cache_default_ttl_ms {
            config.cache_default_ttl_ms = ttl;
        }
        if let Some(bytes) = given.memory_limit_bytes {
            config.memory_limit_bytes = bytes;
        }
        config
    }

    /// Starts a server whose clock this is.
    pub(crate) fn serve(
        &self,
        config: Config,
        clock: &Arc<AtomicU64>,
    ) -> anyhow::Result<Running<'_>> {
        let folder = config.data_dir.clone();
        let moved = Arc::clone(clock);
        let parts = Parts {
            clock: Some(Arc::new(move || Timestamp(moved.load(Ordering::SeqCst)))),
            sandbox_program: Some(self.sandbox_program.clone()),
        };
        let server = self.runtime.block_on(Server::bind(config, parts))?;
        let (app, address) = (Arc::clone(&server.app), server.address);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = self.runtime.spawn(server.run(async move {
            // A dropped sender stops it too.
            let _ = stopped.await;
        }));
        let _guard = self.runtime.enter();
        Ok(Running {
            host: self,
            app,
            folder,
            origin: format!("http://{address}"),
            client: HttpClient::default(),
            stop: Some(stop),
            running: Some(running),
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Left over in the worst case: a folder of temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One running server; ends with its value.
pub(crate) struct Running<'h> {
    host: &'h Host,
    app: Arc<App>,
    folder: PathBuf,
    origin: String,
    client: HttpClient,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Running<'_> {
    pub(crate) fn send(&self, request: &Send) -> anyhow::Result<Reply> {
        let asked = self.client.ask(&self.origin, request, None);
        self.host.runtime.block_on(asked)
    }

    /// Lets it look at its clock.
    pub(crate) fn wake(&self) {
        self.app.queue.wake();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            // A server that cannot end is no failure of the case, and is told.
            match self.host.runtime.block_on(running) {
                Ok(Ok(())) => {}
                other => eprintln!("a server did not end well: {other:?}"),
            }
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One server, alone.
pub struct ServerShell<'h> {
    server: Running<'h>,
    clock: Arc<AtomicU64>,
}

impl Shell for ServerShell<'_> {
    fn name(&self) -> &'static str {
        "server"
    }

    fn send(&mut self, request: &Send) -> anyhow::Result<Reply> {
        self.server.send(request)
    }

    fn advance(&mut self, ms: u64) -> anyhow::Result<()> {
        self.clock.fetch_add(ms, Ordering::SeqCst);
        self.server.wake();
        Ok(())
    }
}
