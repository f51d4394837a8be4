//! What later groups of tests need, made while earlier ones run: link-time optimization has one
//! thread and tests mostly wait, so that one of two cores would be idle most of the time.

use std::{
    fs::File,
    path::Path,
    process::Command,
    sync::mpsc::{Receiver, Sender, channel},
};

use anyhow::{Context as _, ensure};

/// Where the output of what is being made is kept until it is shown.
const FOLDER: &str = "target/ahead";

/// Something that groups need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Browser, Prometheus, Redis, npm's packages.
    Tools,
    /// `pkg/dist`.
    Package,
    /// `edge-worker/build-panic`.
    PanickingWorker,
    /// `edge-worker/build`.
    Worker,
}

impl Need {
    /// The arguments of this program that make it.
    fn command(self) -> &'static [&'static str] {
        match self {
            Self::Tools => &["setup"],
            Self::Package => &["build-pkg"],
            Self::PanickingWorker => &["build-edge", "--test-panic"],
            Self::Worker => &["build-edge", "--any-size"],
        }
    }
}

/// What is being made.
pub struct Ahead(Vec<(Need, Receiver<anyhow::Result<()>>)>);

impl Ahead {
    /// Begins to make these.
    ///
    /// # Errors
    /// When nothing can be kept of what they print.
    pub fn begin(needs: impl IntoIterator<Item = Need>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(FOLDER)?;
        let (begun, waiting): (Vec<_>, Vec<Waiting>) = needs
            .into_iter()
            .map(|need| {
                let (done, made) = channel();
                ((need, made), (need, done))
            })
            .unzip();
        std::thread::spawn(move || make_all(waiting));
        Ok(Self(begun))
    }

    /// Waits until it is made, and shows what was printed meanwhile.
    ///
    /// # Errors
    /// When it could not be made.
    pub fn finish(&mut self, need: Need) -> anyhow::Result<()> {
        let Some(at) = self.0.iter().position(|(begun, _)| *begun == need) else {
            // Shown before, to a group that needs it too.
            return Ok(());
        };
        let (_, made) = self.0.remove(at);
        let outcome = made.recv().context("nothing makes it any more")?;
        print!("{}", std::fs::read_to_string(log(need))?);
        outcome
    }
}

fn log(need: Need) -> String {
    format!("{FOLDER}/{need:?}.log")
}

type Waiting = (Need, Sender<anyhow::Result<()>>);

fn make_all(waiting: Vec<Waiting>) {
    let (tools, built): (Vec<_>, Vec<_>) = waiting
        .into_iter()
        .partition(|(need, _)| *need == Need::Tools);
    make_in_turn(tools);
    // These have no folder in common.
    let (package, workers): (Vec<_>, Vec<_>) = built
        .into_iter()
        .partition(|(need, _)| *need == Need::Package);
    std::thread::spawn(move || make_in_turn(package));
    make_in_turn(workers);
}

fn make_in_turn(waiting: Vec<Waiting>) {
    for (need, done) in waiting {
        // Nobody waits when the tests ended early.
        let _ = done.send(make(need));
    }
}

/// Makes it in a process of its own, behind everything that the tests do.
fn make(need: Need) -> anyhow::Result<()> {
    let this = std::env::current_exe()?;
    let output = File::create(log(need))?;
    let mut command = if Path::new("/usr/bin/nice").exists() {
        let mut nice = Command::new("/usr/bin/nice");
        nice.arg(this);
        nice
    } else {
        Command::new(this)
    };
    let status = command
        .args(need.command())
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()?;
    ensure!(status.success(), "{need:?} ended with {status}");
    Ok(())
}
