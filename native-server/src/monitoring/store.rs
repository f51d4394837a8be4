//! What monitoring keeps over a restart: one small database beside the queue's.
//!
//! Every sample is one transaction: a row, the present, and what is to be delivered because of it.
//! After [`ROWS_MAX`] rows a snapshot takes their place, so the file holds one snapshot (2 MB at
//! most), one present (0.3 MB) and so many rows of 1 KB mostly, 7 KB at most.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};
use sommos_core::{
    metrics::{Delivery, Monitor, MonitorConfig, Sample, Saved},
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
CREATE TABLE deliveries(seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body BLOB NOT NULL,
                        attempts INTEGER NOT NULL, due INTEGER NOT NULL);
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
    waiting: u64,
}

/// A message that waits to be sent.
pub(super) struct Queued {
    seq: i64,
    pub(super) key: String,
    pub(super) body: Vec<u8>,
    /// Attempts made.
    pub(super) attempts: u32,
    pub(super) due: Timestamp,
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
        let sql = "SELECT count(*) FROM deliveries";
        let waiting: u32 = connection.query_row(sql, [], |row| row.get(0))?;
        Ok(Self {
            connection,
            rows,
            waiting: waiting.into(),
        })
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

    /// Keeps a sample, everything as it stands now, and the messages to send because of it.
    pub(super) fn keep(
        &mut self,
        monitor: &Monitor,
        sample: &Sample,
        messages: &[Delivery],
    ) -> Result<()> {
        let full = self.rows >= ROWS_MAX;
        let transaction = self.connection.transaction()?;
        if full {
            put_snapshot(&transaction, monitor)?;
        } else {
            transaction
                .prepare_cached("INSERT INTO samples(data) VALUES(?1)")?
                .execute([monitor.row(sample)])?;
        }
        put(&transaction, "present", &monitor.present(sample.timestamp))?;
        enqueue(&transaction, messages, sample.timestamp)?;
        transaction.commit()?;
        self.rows = if full { 0 } else { self.rows + 1 };
        self.waiting += messages.len() as u64;
        Ok(())
    }

    /// Keeps a snapshot in place of all rows.
    pub(super) fn keep_all(&mut self, monitor: &Monitor, now: Timestamp) -> Result<()> {
        let transaction = self.connection.transaction()?;
        put_snapshot(&transaction, monitor)?;
        // It tells when the snapshot was written.
        put(&transaction, "present", &monitor.present(now))?;
        transaction.commit()?;
        self.rows = 0;
        Ok(())
    }

    /// Keeps everything but the history, and messages to send: between two samples.
    pub(super) fn keep_present(
        &mut self,
        monitor: &Monitor,
        now: Timestamp,
        messages: &[Delivery],
    ) -> Result<()> {
        let transaction = self.connection.transaction()?;
        put(&transaction, "present", &monitor.present(now))?;
        enqueue(&transaction, messages, now)?;
        transaction.commit()?;
        self.waiting += messages.len() as u64;
        Ok(())
    }

    /// Messages that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// The oldest message that waits.
    pub(super) fn next_delivery(&mut self) -> Result<Option<Queued>> {
        let sql = "SELECT seq, key, body, attempts, due FROM deliveries ORDER BY seq LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Queued {
                seq: row.get(0)?,
                key: row.get(1)?,
                body: row.get(2)?,
                attempts: row.get(3)?,
                due: Timestamp(row.get::<_, i64>(4)?.unsigned_abs()),
            })
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([], read).optional()?)
    }

    /// Another attempt at a message is due then.
    pub(super) fn postpone(&mut self, message: &Queued, due: Timestamp) -> Result<()> {
        let sql = "UPDATE deliveries SET attempts = attempts + 1, due = ?2 WHERE seq = ?1";
        self.connection
            .prepare_cached(sql)?
            .execute(params![message.seq, due.0 as i64])?;
        Ok(())
    }

    /// A message is done with.
    pub(super) fn forget(&mut self, message: &Queued) -> Result<()> {
        let sql = "DELETE FROM deliveries WHERE seq = ?1";
        let gone = self
            .connection
            .prepare_cached(sql)?
            .execute([message.seq])?;
        self.waiting = self.waiting.saturating_sub(gone as u64);
        Ok(())
    }

    /// Messages of a webhook that is configured no longer.
    pub(super) fn forget_all(&mut self) -> Result<()> {
        self.connection.execute("DELETE FROM deliveries", [])?;
        self.waiting = 0;
        Ok(())
    }
}

fn put_snapshot(connection: &Connection, monitor: &Monitor) -> Result<()> {
    put(connection, "snapshot", &monitor.snapshot())?;
    connection.execute("DELETE FROM samples", [])?;
    Ok(())
}

fn enqueue(connection: &Connection, messages: &[Delivery], now: Timestamp) -> Result<()> {
    let sql = "INSERT INTO deliveries(key, body, attempts, due) VALUES(?1, ?2, 0, ?3)";
    for message in messages {
        connection.prepare_cached(sql)?.execute(params![
            message.key,
            message.body,
            now.0 as i64
        ])?;
    }
    Ok(())
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
