//! The database: one file, WAL, every commit synced.
//!
//! Records are MessagePack: the half of a job that never changes in `spec`, the half that does in
//! `state`, so that a step of a job's life rewrites one small column. Payloads and results of up
//! to [`INLINE`] bytes stand in the job's row, larger ones in tables of their own.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use serde::{Serialize, de::DeserializeOwned};
use sommos_core::{
    batch::Book,
    jobs::{JobId, JobSpec, Marks, Record, State},
};
use thiserror::Error;

/// Payloads and results up to this stand in the job's row, bytes.
const INLINE: usize = 1024;
/// Chunk results of a batch: `key << CHUNK_BITS | chunk`, so that a batch's stand side by side.
pub(super) const CHUNK_BITS: u32 = 20;
/// Chunk results of swept batches deleted per transaction.
const GARBAGE_STEP: i64 = 256;

const SCHEMA: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE jobs(seq INTEGER PRIMARY KEY, spec BLOB NOT NULL, state BLOB NOT NULL,
                  payload BLOB, result BLOB);
CREATE TABLE payloads(seq INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE results(seq INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE batches(key INTEGER PRIMARY KEY, book BLOB, params BLOB NOT NULL);
CREATE TABLE chunk_results(id INTEGER PRIMARY KEY, ok INTEGER NOT NULL, data BLOB NOT NULL);
PRAGMA user_version = 1;
";

/// Why the database did not do it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite's word.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A record that this version cannot read.
    #[error("a record in the queue's database cannot be read: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
    /// A record that cannot be written.
    #[error("a record cannot be encoded: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    /// The writer's thread could not be started.
    #[error("no thread for the queue's writer: {0}")]
    Thread(std::io::Error),
    /// Written by a newer version.
    #[error(
        "the queue's database has schema {found}, this server knows up to {known}: \
         use a newer server"
    )]
    Version {
        /// In the file.
        found: i64,
        /// Known here.
        known: i64,
    },
}

impl StoreError {
    /// Whether another process held the database for too long.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        match self {
            Self::Sqlite(error) => {
                matches!(
                    error.sqlite_error_code(),
                    Some(DatabaseBusy | DatabaseLocked)
                )
            }
            _ => false,
        }
    }
}

pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// Everything a machine is rebuilt from.
pub(super) struct Loaded {
    pub(super) marks: Marks,
    pub(super) records: Vec<Record>,
    pub(super) books: Vec<Book>,
    /// Swept batches whose chunk results are still there.
    pub(super) garbage: Vec<u64>,
}

pub(super) struct Store {
    connection: Connection,
    scratch: Vec<u8>,
}

pub(super) fn chunk_id(batch: u64, chunk: u32) -> i64 {
    ((batch as i64) << CHUNK_BITS) | i64::from(chunk)
}

pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut connection = connect(path, OpenFlags::default())?;
        connection.pragma_update(None, "page_size", 4096)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Checkpoints copy each page once however often it was written since the last: 16 MiB of
        // log lets the tail of the job table be rewritten many times before.
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 4096, |_| Ok(()))?;
        connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
        connection.pragma_update(None, "cache_size", -32_768)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        migrate(&mut connection)?;
        Ok(Self {
            connection,
            scratch: Vec::with_capacity(512),
        })
    }

    pub(super) fn load(&self) -> Result<Loaded> {
        let c = &self.connection;
        let marks = c
            .query_row("SELECT value FROM meta WHERE key = 'marks'", [], |r| {
                r.get::<_, Vec<u8>>(0)
            })
            .optional()?;
        let marks = marks.map_or(Ok(Marks::default()), |bytes| decode(&bytes))?;
        let mut records = Vec::new();
        let mut statement = c.prepare_cached("SELECT seq, spec, state FROM jobs ORDER BY seq")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let seq = row.get::<_, i64>(0)? as u64;
            let (id, group, spec): (JobId, u64, JobSpec) =
                decode(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
            let state: State = decode(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?;
            records.push(Record {
                seq,
                id,
                group,
                spec,
                state,
            });
        }
        let (mut books, mut garbage) = (Vec::new(), Vec::new());
        let mut statement = c.prepare_cached("SELECT key, book FROM batches ORDER BY key")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            match row.get::<_, Option<Vec<u8>>>(1)? {
                Some(bytes) => books.push(decode(&bytes)?),
                None => garbage.push(row.get::<_, i64>(0)? as u64),
            }
        }
        Ok(Loaded {
            marks,
            records,
            books,
            garbage,
        })
    }

    pub(super) fn begin(&self) -> Result<()> {
        self.connection
            .prepare_cached("BEGIN IMMEDIATE")?
            .execute([])?;
        Ok(())
    }

    pub(super) fn commit(&self) -> Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    pub(super) fn rollback(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "the queue's transaction could not be rolled back");
        }
    }

    fn encoded(&mut self, value: &impl Serialize) -> Result<()> {
        self.scratch.clear();
        rmp_serde::encode::write(&mut self.scratch, value)?;
        Ok(())
    }

    pub(super) fn put_marks(&mut self, marks: Marks) -> Result<()> {
        self.encoded(&marks)?;
        self.run(
            "INSERT INTO meta(key, value) VALUES('marks', ?1)
             ON CONFLICT(key) DO UPDATE SET value = excluded.value",
            params![self.scratch],
        )
    }

    pub(super) fn insert(
        &mut self,
        record: &Record,
        payload: &[u8],
        result: Option<&[u8]>,
    ) -> Result<()> {
        let seq = record.seq as i64;
        self.encoded(&record.state)?;
        let at = self.scratch.len();
        rmp_serde::encode::write(&mut self.scratch, &(record.id, record.group, &record.spec))?;
        let (state, spec) = self.scratch.split_at(at);
        let inline = (payload.len() <= INLINE).then_some(payload);
        let result = self.outsource(seq, result)?;
        self.run(
            "INSERT INTO jobs(seq, spec, state, payload, result) VALUES(?1, ?2, ?3, ?4, ?5)",
            params![seq, spec, state, inline, result],
        )?;
        if inline.is_none() {
            self.run(
                "INSERT INTO payloads(seq, data) VALUES(?1, ?2)",
                params![seq, payload],
            )?;
        }
        Ok(())
    }

    pub(super) fn update(&mut self, record: &Record, result: Option<&[u8]>) -> Result<()> {
        let seq = record.seq as i64;
        self.encoded(&record.state)?;
        if result.is_some() {
            let result = self.outsource(seq, result)?;
            return self.run(
                "UPDATE jobs SET state = ?2, result = ?3 WHERE seq = ?1",
                params![seq, self.scratch, result],
            );
        }
        self.run(
            "UPDATE jobs SET state = ?2 WHERE seq = ?1",
            params![seq, self.scratch],
        )
    }

    /// Puts a large result into its own table; gives what is left for the row.
    fn outsource<'a>(&self, seq: i64, result: Option<&'a [u8]>) -> Result<Option<&'a [u8]>> {
        match result {
            Some(data) if data.len() > INLINE => {
                let sql = "INSERT OR REPLACE INTO results(seq, data) VALUES(?1, ?2)";
                self.run(sql, params![seq, data])?;
                Ok(None)
            }
            other => Ok(other),
        }
    }

    pub(super) fn remove(&self, seq: u64, chunk: bool) -> Result<()> {
        let seq = seq as i64;
        self.run("DELETE FROM jobs WHERE seq = ?1", [seq])?;
        self.run("DELETE FROM payloads WHERE seq = ?1", [seq])?;
        if !chunk {
            self.run("DELETE FROM results WHERE seq = ?1", [seq])?;
        }
        Ok(())
    }

    pub(super) fn put_book(&mut self, book: &Book, params: Option<&[u8]>) -> Result<()> {
        let key = book.key as i64;
        self.encoded(book)?;
        match params {
            Some(blob) => self.run(
                "INSERT INTO batches(key, book, params) VALUES(?1, ?2, ?3)",
                params![key, self.scratch, blob],
            ),
            None => self.run(
                "UPDATE batches SET book = ?2 WHERE key = ?1",
                params![key, self.scratch],
            ),
        }
    }

    /// Marks a batch as garbage; [`Self::collect`] deletes it in small steps.
    pub(super) fn discard_book(&self, key: u64) -> Result<()> {
        let sql = "UPDATE batches SET book = NULL, params = x'' WHERE key = ?1";
        self.run(sql, [key as i64])
    }

    /// Deletes some chunk results of a discarded batch; gives whether it is gone.
    pub(super) fn collect(&self, key: u64) -> Result<bool> {
        let (first, end) = (chunk_id(key, 0), chunk_id(key + 1, 0));
        let sql = "DELETE FROM chunk_results WHERE id IN
                   (SELECT id FROM chunk_results WHERE id >= ?1 AND id < ?2 LIMIT ?3)";
        let mut statement = self.connection.prepare_cached(sql)?;
        let deleted = statement.execute([first, end, GARBAGE_STEP])?;
        if (deleted as i64) < GARBAGE_STEP {
            self.run(
                "DELETE FROM batches WHERE key = ?1 AND book IS NULL",
                [key as i64],
            )?;
            return Ok(true);
        }
        Ok(false)
    }

    pub(super) fn put_chunk(&self, batch: u64, chunk: u32, ok: bool, data: &[u8]) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO chunk_results(id, ok, data) VALUES(?1, ?2, ?3)",
            params![chunk_id(batch, chunk), ok, data],
        )
    }

    pub(super) fn payload(&self, seq: u64) -> Result<Bytes> {
        let sql = "SELECT coalesce(payload, (SELECT data FROM payloads WHERE seq = ?1))
                   FROM jobs WHERE seq = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let data: Option<Vec<u8>> = statement.query_row([seq as i64], |r| r.get(0))?;
        Ok(data.unwrap_or_default().into())
    }

    pub(super) fn params(&self, key: u64) -> Result<Bytes> {
        let sql = "SELECT params FROM batches WHERE key = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let data: Vec<u8> = statement.query_row([key as i64], |r| r.get(0))?;
        Ok(data.into())
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        self.connection.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }

    /// The connection itself, for tests that break it.
    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Folds the log into the file: the last act of a clean end.
    pub(super) fn checkpoint(&self) {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        if let Err(error) = self.connection.query_row(sql, [], |_| Ok(())) {
            tracing::warn!(%error, "the queue's log was not folded into its database");
        }
    }
}

fn migrate(connection: &mut Connection) -> Result<()> {
    const KNOWN: i64 = 1;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    match found {
        0 => {
            let transaction = connection.transaction()?;
            transaction.execute_batch(SCHEMA)?;
            transaction.commit()?;
            Ok(())
        }
        KNOWN => Ok(()),
        _ => Err(StoreError::Version {
            found,
            known: KNOWN,
        }),
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    Ok(rmp_serde::from_slice(bytes)?)
}
