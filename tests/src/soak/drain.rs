//! SIGTERM under load: running jobs finish or go back in line, and nothing acknowledged is lost.

use std::{thread, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::json;
use sommos_core::rng::Rng;

use super::{
    Options,
    audit::Audit,
    http::text,
    load::{Load, fetch, under_load},
    server::{Folder, Server},
};

/// The grace of the server; every other round has a job that takes longer.
const GRACE_MS: u64 = 2000;
/// What ending may take beyond the grace: the last commit and the closing of the file.
const CLOSE_MS: u64 = 500;

/// The check.
pub(crate) fn check(options: &Options) -> anyhow::Result<()> {
    under_load(options.seed, |load| rounds(options, load))
}

/// A job that outlasts the grace.
fn endless() -> String {
    let n: Vec<u64> = (0..200_000).collect();
    let items: Vec<u64> = n.iter().map(|i| i % 997).collect();
    let users: Vec<u64> = n.iter().map(|i| i / 100).collect();
    let ratings: Vec<f64> = n
        .iter()
        .map(|i| (i * 7919 % 9) as f64 / 2.0 + 0.5)
        .collect();
    json!({"jobType": "model_training", "data": {
        "trainingData": {"users": users, "items": items, "ratings": ratings},
        "parameters": {"epochs": 1000, "factors": 256, "heldOutFraction": 0}}})
    .to_string()
}

fn rounds(options: &Options, load: &Load) -> anyhow::Result<()> {
    let mut rng = Rng::new(options.seed);
    let folder = Folder::new()?;
    let grace = GRACE_MS.to_string();
    let args = ["--grace-ms", &grace];
    let mut audit = Audit::default();
    let (mut slowest, mut back) = (Duration::ZERO, 0);
    for round in 0..options.drains {
        let server = Server::start(folder.path(), &args)?;
        load.aim(Some(server.address));
        let long = if round % 2 == 1 {
            let answer = server
                .client()
                .post("/api/performance/async/job", endless())?
                .ok()?;
            Some(text(&answer["jobId"]))
        } else {
            None
        };
        thread::sleep(Duration::from_millis(200 + rng.below(500)));
        let (status, took) = server.terminate(Duration::from_millis(5 * GRACE_MS))?;
        load.aim(None);
        slowest = slowest.max(took);
        ensure!(
            status.code() == Some(0),
            "round {round}: ended with {status}"
        );
        ensure!(
            took <= Duration::from_millis(GRACE_MS + CLOSE_MS),
            "round {round}: {took:?} after SIGTERM, the grace is {GRACE_MS} ms"
        );
        let found = audit
            .look(folder.path())
            .with_context(|| format!("round {round}"))?;
        ensure!(
            found.running == 0,
            "round {round}: {} left as running",
            found.running
        );
        if let Some(id) = long {
            let server = Server::start(folder.path(), &args)?;
            let mut client = server.client();
            let job = fetch(&mut client, &id)?.context("the long job is lost")?;
            ensure!(
                job["status"] == "queued" || job["status"] == "running",
                "the long job is not back in line: {job}"
            );
            back += 1;
            ensure!(
                client
                    .delete(&format!("/api/performance/async/job/{id}"))?
                    .status
                    == 200
            );
            let (status, _) = server.terminate(Duration::from_millis(5 * GRACE_MS))?;
            ensure!(status.code() == Some(0), "ended with {status}");
        }
    }
    let server = Server::start(folder.path(), &args)?;
    load.stop();
    let outcome = load.verify(&server, Duration::from_secs(300))?;
    println!(
        "  {} rounds; slowest end {slowest:?} of {GRACE_MS} ms grace; acknowledged: {} jobs, {} \
         batches; lost: {}; wrong: {}; long jobs back in line: {back}; left as running: 0; \
         completed rows found changed later: {}",
        options.drains,
        outcome.jobs,
        outcome.batches,
        outcome.lost.len(),
        outcome.wrong.len(),
        audit.changed
    );
    outcome.check()?;
    ensure!(audit.changed == 0, "completed jobs were completed again");
    Ok(())
}
