//! What monitoring keeps over a restart: one small database beside the queue's.
//!
//! Every sample is one transaction: a row, the present, and what is to be delivered because of it.
//! After [`ROWS_MAX`] rows a snapshot takes their place, so the file holds one snapshot (2 MB at
//! most), one present (0.3 MB) and so many rows of 1 KB mostly, 7 KB at most.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};
use sommos_core::{
    metrics::{Monitor, MonitorConfig, Sample, Saved},
    time::Timestamp,
};
use thiserror::Error;

/// Rows kept beside a snapshot.
const ROWS_MAX: u32 = 240;
/// The form of the tables.
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
CREATE TABLE pieces(name TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE samples(seq INTEGER PRIMARY KEY, data BLOB NOT NULL);
PRAGMA user_version = 1;
";

/// Why monitoring could not be kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(super) enum StoreError {
    /// SQLite's word.
    #[error("the database of monitoring: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Written by a newer version.
    #[error(
        "the database of monitoring has schema {found}, this server knows up to {known}: \
         use a newer server"
    )]
    Version {
        /// In the file.
        found: i64,
        /// Known here.
        known: i64,
    },
    /// A damaged file that could not be moved out of the way.
    #[error("the damaged database of monitoring could not be moved: {0}")]
    Move(#[from] std::io::Error),
}

type Result<T> = std::result::Result<T, StoreError>;

/// The database.
pub(super) struct Store {
    connection: Connection,
    rows: u32,
}

impl Store {
    /// Opens or makes the database. One that is no database any more is moved to `.damaged`, for
    /// a server must start without its past, too.
    pub(super) fn open(path: &Path) -> Result<Self> {
        match Self::connect(path) {
            Err(StoreError::Sqlite(error)) if is_damage(&error) => {
                tracing::error!(%error, "the history of metrics is damaged: it begins anew");
                std::fs::rename(path, path.with_extension("damaged"))?;
                for part in ["db-wal", "db-shm"] {
                    // Mostly there are none.
                    let _ = std::fs::remove_file(path.with_extension(part));
                }
                Self::connect(path)
            }
            opened => opened,
        }
    }

    fn connect(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update_and_check(None, "journal_size_limit", 8 << 20, |_| Ok(()))?;
        connection.pragma_update(None, "cache_size", -2048)?;
        let found = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match found {
            0 => connection.execute_batch(&format!("BEGIN IMMEDIATE;{SCHEMA}COMMIT"))?,
            SCHEMA_VERSION => {}
            found => {
                return Err(StoreError::Version {
                    found,
                    known: SCHEMA_VERSION,
                });
            }
        }
        let rows = connection.query_row("SELECT count(*) FROM samples", [], |row| row.get(0))?;
        Ok(Self { connection, rows })
    }

    /// The registry that was kept, or a new one when there is none or it cannot be read.
    ///
    /// # Errors
    /// When the configuration is wrong, or the database cannot be read.
    pub(super) fn load(&self, now: Timestamp, config: MonitorConfig) -> anyhow::Result<Monitor> {
        let Some(snapshot) = self.piece("snapshot")? else {
            return Ok(Monitor::new(now, config)?);
        };
        let present = self.piece("present")?;
        let mut statement = self
            .connection
            .prepare("SELECT data FROM samples ORDER BY seq")?;
        let rows = statement
            .query_map([], |row| row.get(0))?
            .collect::<std::result::Result<Vec<Vec<u8>>, _>>()?;
        let saved = Saved {
            snapshot: &snapshot,
            rows: &rows,
            present: present.as_deref(),
        };
        match Monitor::resume(now, config.clone(), saved) {
            Ok(monitor) => Ok(monitor),
            Err(error) => {
                tracing::error!(%error, "the history of metrics cannot be read: it begins anew");
                Ok(Monitor::new(now, config)?)
            }
        }
    }

    fn piece(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT data FROM pieces WHERE name = ?1";
        let found = self.connection.query_row(sql, [name], |row| row.get(0));
        Ok(found.optional()?)
    }

    /// Keeps a sample and everything as it stands now.
    pub(super) fn keep(&mut self, monitor: &Monitor, sample: &Sample) -> Result<()> {
        if self.rows >= ROWS_MAX {
            return self.keep_all(monitor, sample.timestamp);
        }
        let transaction = self.connection.transaction()?;
        transaction
            .prepare_cached("INSERT INTO samples(data) VALUES(?1)")?
            .execute([monitor.row(sample)])?;
        put(&transaction, "present", &monitor.present(sample.timestamp))?;
        transaction.commit()?;
        self.rows += 1;
        Ok(())
    }

    /// Keeps a snapshot in place of all rows.
    pub(super) fn keep_all(&mut self, monitor: &Monitor, now: Timestamp) -> Result<()> {
        let transaction = self.connection.transaction()?;
        put(&transaction, "snapshot", &monitor.snapshot())?;
        // It tells when the snapshot was written.
        put(&transaction, "present", &monitor.present(now))?;
        transaction.execute("DELETE FROM samples", [])?;
        transaction.commit()?;
        self.rows = 0;
        Ok(())
    }

    /// Keeps everything but the history as it stands now: between two samples.
    pub(super) fn keep_present(&mut self, monitor: &Monitor, now: Timestamp) -> Result<()> {
        put(&self.connection, "present", &monitor.present(now))
    }
}

fn put(connection: &Connection, name: &str, data: &[u8]) -> Result<()> {
    let sql = "INSERT INTO pieces(name, data) VALUES(?1, ?2)
               ON CONFLICT(name) DO UPDATE SET data = excluded.data";
    connection
        .prepare_cached(sql)?
        .execute(params![name, data])?;
    Ok(())
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    )
}
