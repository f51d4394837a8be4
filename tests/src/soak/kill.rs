//! SIGKILL under load, again and again, on one folder.
//!
//! That no job completes twice is measured in three ways. After each kill the database is read as
//! the dead process left it: a row once seen as completed must keep its attempts, fencing token,
//! time and result for ever. At the end the server's own counter of completions must equal the
//! completed rows. And every result must be the right one.

use std::{collections::HashSet, thread, time::Duration};

use anyhow::{Context as _, ensure};
use sommos_core::rng::Rng;

use super::{
    Options,
    audit::Audit,
    load::{Load, under_load},
    server::{Folder, Server},
};

/// A server's life is at least this and at most as much more, milliseconds.
const LIFE_MS: u64 = 60;
const LIFE_SPREAD_MS: u64 = 600;

/// The check.
pub(crate) fn check(options: &Options) -> anyhow::Result<()> {
    under_load(options.seed, |load| rounds(options, load))
}

fn rounds(options: &Options, load: &Load) -> anyhow::Result<()> {
    let mut rng = Rng::new(options.seed);
    let folder = Folder::new()?;
    let mut audit = Audit::default();
    let (mut slowest, mut in_flight, mut unstored, mut orphans) = (Duration::ZERO, 0, 0, 0);
    for round in 0..options.rounds {
        let server = Server::start(folder.path(), &[])?;
        slowest = slowest.max(server.ready_after);
        load.aim(Some(server.address));
        thread::sleep(Duration::from_millis(LIFE_MS + rng.below(LIFE_SPREAD_MS)));
        let children = server.children()?;
        server.kill()?;
        load.aim(None);
        // What was acknowledged before this look must be in the file.
        let acknowledged = load.acknowledged();
        let found = audit
            .look(folder.path())
            .with_context(|| format!("round {round}"))?;
        let ids: HashSet<&str> = found.ids.iter().map(String::as_str).collect();
        unstored += acknowledged
            .iter()
            .filter(|(id, _)| !ids.contains(id.as_str()))
            .count();
        in_flight += found.running;
        orphans += children.iter().filter(|child| child.lives()).count();
    }
    let server = Server::start(folder.path(), &[])?;
    load.stop();
    slowest = slowest.max(server.ready_after);
    let outcome = load.verify(&server, Duration::from_secs(300))?;
    let metrics = server
        .client()
        .get("/api/performance/async/metrics")?
        .ok()?;
    let counted = metrics["data"]["completedJobs"].as_u64();
    server.terminate(Duration::from_secs(30))?;
    let found = audit.look(folder.path())?;
    println!(
        "  {} rounds; acknowledged: {} jobs, {} batches; lost: {}; missing from the file after a \
         kill: {unstored}",
        options.rounds,
        outcome.jobs,
        outcome.batches,
        outcome.lost.len()
    );
    println!(
        "  running when killed: {in_flight}; interrupted jobs that finished: {}; wrong: {}",
        outcome.interrupted,
        outcome.wrong.len()
    );
    println!(
        "  stale completions accepted: {} (completed rows found changed in {} looks); children that \
         outlived their server: {orphans}; completions counted: {counted:?}, \
         completed rows: {}; slowest restart {slowest:?}",
        audit.changed, audit.looks, found.completed_jobs
    );
    outcome.check()?;
    ensure!(orphans == 0, "children outlived their server");
    ensure!(unstored == 0, "acknowledged before it was on disk");
    ensure!(audit.changed == 0, "completed jobs were completed again");
    ensure!(
        counted == Some(found.completed_jobs),
        "a completion was counted twice"
    );
    ensure!(
        in_flight > 0 && outcome.interrupted > 0,
        "no kill met a running job"
    );
    Ok(())
}
