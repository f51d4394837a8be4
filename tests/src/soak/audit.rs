//! A look into the database of a server that is down. A copy is read, so that the server finds its
//! files as it left them.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context as _, ensure};
use rusqlite::Connection;
use sommos_core::jobs::{JobId, JobSpec, Kind, State, Status};

use super::server::Folder;

/// How a job stood completed: what may never change again.
#[derive(Clone, Debug, PartialEq)]
struct Completion {
    attempts: u32,
    token: u64,
    completed_at: Option<u64>,
    result: Option<Vec<u8>>,
}

/// Completions as they were first seen.
#[derive(Default)]
pub(crate) struct Audit {
    completed: HashMap<JobId, Completion>,
    /// Completed jobs that were found otherwise later: run and completed again.
    pub(crate) changed: u64,
    /// Looks at completed rows, all together.
    pub(crate) looks: u64,
}

/// What one look found.
#[derive(Default)]
pub(crate) struct Found {
    /// Ids of jobs and of batches.
    pub(crate) ids: Vec<String>,
    /// Rows with status running.
    pub(crate) running: u64,
    /// Completed rows of jobs (not chunks).
    pub(crate) completed_jobs: u64,
}

impl Audit {
    /// Reads every row of the database in this folder.
    pub(crate) fn look(&mut self, data: &Path) -> anyhow::Result<Found> {
        let copy = Folder::new()?;
        for name in ["sommos.db", "sommos.db-wal"] {
            let from = data.join(name);
            if from.exists() {
                fs::copy(from, copy.path().join(name))?;
            }
        }
        let db = Connection::open(copy.path().join("sommos.db"))?;
        let whole: String = db.query_row("PRAGMA integrity_check", [], |r| r.get(0))?;
        ensure!(whole == "ok", "the database is damaged: {whole}");
        let mut found = Found::default();
        let mut statement = db.prepare(
            "SELECT spec, state, coalesce(jobs.result, results.data) FROM jobs \
             LEFT JOIN results ON results.seq = jobs.seq",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (spec, state): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let (id, _, _): (JobId, u64, JobSpec) =
                rmp_serde::from_slice(&spec).context("a row's spec")?;
            let state: State = rmp_serde::from_slice(&state).context("a row's state")?;
            found.running += u64::from(state.status == Status::Running);
            self.note(id, &state, row.get(2)?);
            if id.kind == Kind::Job {
                found.completed_jobs += u64::from(state.status == Status::Completed);
                found.ids.push(id.to_string());
            }
        }
        let mut statement = db.prepare("SELECT book FROM batches WHERE book IS NOT NULL")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let book: Vec<u8> = row.get(0)?;
            let book: sommos_core::batch::Book = rmp_serde::from_slice(&book)?;
            found.ids.push(book.id.to_string());
        }
        Ok(found)
    }

    fn note(&mut self, id: JobId, state: &State, result: Option<Vec<u8>>) {
        let now = (state.status == Status::Completed).then(|| Completion {
            attempts: state.attempts,
            token: state.token,
            completed_at: state.completed_at.map(|t| t.0),
            result,
        });
        match (self.completed.get(&id), now) {
            (None, Some(now)) => {
                self.completed.insert(id, now);
            }
            (Some(first), now) => {
                self.looks += 1;
                // One that is no longer completed would run again.
                self.changed += u64::from(now.as_ref() != Some(first));
            }
            (None, None) => {}
        }
    }
}
