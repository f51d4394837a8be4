//! The long tests: everything that takes a real process, real signals and real time.

pub(crate) mod audit;
pub(crate) mod cancel;
pub(crate) mod drain;
pub(crate) mod golden;
pub(crate) mod hostile;
pub(crate) mod http;
pub(crate) mod kill;
pub(crate) mod limits;
pub(crate) mod load;
pub(crate) mod server;
pub(crate) mod simulation;

use std::path::PathBuf;

/// What the command line says.
pub(crate) struct Options {
    /// Seeds of `simulation`.
    pub(crate) seeds: u64,
    /// Rounds of `kill`.
    pub(crate) rounds: u32,
    /// Rounds of `drain`.
    pub(crate) drains: u32,
    /// Seed of everything that is drawn by lot.
    pub(crate) seed: u64,
    /// Folder of the real data.
    pub(crate) data: PathBuf,
    /// Whether absent data is no failure.
    pub(crate) allow_missing: bool,
    /// A build of the edge worker that `limits` asks in place of the server.
    pub(crate) edge: Option<String>,
}

type Check = fn(&Options) -> anyhow::Result<()>;

/// Every check by its name.
pub(crate) const CHECKS: [(&str, Check); 7] = [
    ("simulation", simulation::check),
    ("kill", kill::check),
    ("hostile", hostile::check),
    ("limits", limits::check),
    ("cancel", cancel::check),
    ("golden", golden::check),
    ("drain", drain::check),
];
