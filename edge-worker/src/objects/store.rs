//! The work in the SQLite of its Durable Object: a round is written within one transaction.

use serde::Serialize;
use sommos_core::{
    batch::Book,
    jobs::{JobId, JobSpec, Marks, Record, State as JobState},
    service::work::{ChunkOutcome, Saved, Store, Write},
};
use worker::{SqlStorageValue, Storage};

use super::database::{Database, Row, StoreError, bytes, int, number, parts, unpack};

type Result<T> = core::result::Result<T, StoreError>;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs(seq INTEGER PRIMARY KEY, spec BLOB NOT NULL, state BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS payloads(seq INTEGER, part INTEGER, data BLOB NOT NULL,
    PRIMARY KEY(seq, part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results(seq INTEGER, part INTEGER, data BLOB NOT NULL,
    PRIMARY KEY(seq, part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches(key INTEGER PRIMARY KEY, book BLOB NOT NULL,
    processor BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS chunks(key INTEGER, chunk INTEGER, part INTEGER, ok INTEGER NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY(key, chunk, part)) WITHOUT ROWID;
";

/// The store of the work, and the round that is being gathered.
#[derive(Debug)]
pub(crate) struct SqlStore {
    database: Database,
    round: Vec<(&'static str, Row)>,
}

impl SqlStore {
    pub(crate) fn open(storage: Storage) -> Result<Self> {
        Ok(Self {
            database: Database::new(storage, SCHEMA)?,
            round: Vec::new(),
        })
    }

    /// All that a machine is restored from.
    pub(crate) fn load(&self) -> Result<Saved> {
        let database = &self.database;
        let marks = "SELECT value FROM meta WHERE key = 'marks'";
        let marks = match database.blob(marks, Row::new())? {
            Some(marks) => unpack(&marks)?,
            None => Marks::default(),
        };
        let rows = database.rows("SELECT seq, spec, state FROM jobs", Row::new())?;
        let records = rows.into_iter().map(|row| {
            let mut columns = row.into_iter();
            let seq = number(columns.next())?;
            let (id, group, spec): (JobId, u64, JobSpec) = unpack(&bytes(columns.next())?)?;
            let state: JobState = unpack(&bytes(columns.next())?)?;
            Ok(Record {
                seq,
                id,
                group,
                spec,
                state,
            })
        });
        let rows = database.rows("SELECT book FROM batches ORDER BY key", Row::new())?;
        let books = rows
            .into_iter()
            .map(|row| unpack::<Book>(&bytes(row.into_iter().next())?));
        Ok(Saved {
            marks,
            records: records.collect::<Result<_>>()?,
            books: books.collect::<Result<_>>()?,
        })
    }

    fn push(&mut self, sql: &'static str, row: Row) {
        self.round.push((sql, row));
    }

    fn result(&mut self, seq: u64, result: Option<Vec<u8>>) {
        for (part, data) in result.iter().flat_map(|data| parts(data)) {
            let sql = "INSERT OR REPLACE INTO results(seq, part, data) VALUES(?, ?, ?)";
            self.push(sql, vec![int(seq), int(part), data]);
        }
    }

    fn line(&mut self, line: Write<'_>) -> Result<()> {
        match line {
            Write::Insert {
                record,
                payload,
                result,
            } => {
                let seq = record.seq;
                let spec = pack(&(record.id, record.group, &record.spec))?;
                let sql = "INSERT INTO jobs(seq, spec, state) VALUES(?, ?, ?)";
                self.push(sql, vec![int(seq), spec, pack(&record.state)?]);
                for (part, data) in parts(&payload) {
                    let sql = "INSERT INTO payloads(seq, part, data) VALUES(?, ?, ?)";
                    self.push(sql, vec![int(seq), int(part), data]);
                }
                self.result(seq, result);
            }
            Write::Update { record, result } => {
                let sql = "UPDATE jobs SET state = ? WHERE seq = ?";
                self.push(sql, vec![pack(&record.state)?, int(record.seq)]);
                self.result(record.seq, result);
            }
            Write::Remove { seq } => {
                self.push("DELETE FROM jobs WHERE seq = ?", vec![int(seq)]);
                self.push("DELETE FROM payloads WHERE seq = ?", vec![int(seq)]);
                self.push("DELETE FROM results WHERE seq = ?", vec![int(seq)]);
            }
            Write::Book { book, processor } => {
                let (key, packed) = (int(book.key), pack(book)?);
                match processor {
                    Some(processor) => {
                        let sql = "INSERT INTO batches(key, book, processor) VALUES(?, ?, ?)";
                        self.push(sql, vec![key, packed, SqlStorageValue::Blob(processor)]);
                    }
                    None => {
                        let sql = "UPDATE batches SET book = ? WHERE key = ?";
                        self.push(sql, vec![packed, key]);
                    }
                }
            }
            Write::RemoveBook { key } => {
                self.push("DELETE FROM batches WHERE key = ?", vec![int(key)]);
                self.push("DELETE FROM chunks WHERE key = ?", vec![int(key)]);
            }
            Write::Chunk {
                key,
                chunk,
                outcome,
            } => {
                let (ok, data) = match &outcome {
                    Ok(data) => (1, data.as_slice()),
                    Err(error) => (0, error.as_bytes()),
                };
                for (part, data) in parts(data) {
                    let sql = "INSERT OR REPLACE INTO chunks(key, chunk, part, ok, data)
                               VALUES(?, ?, ?, ?, ?)";
                    let (chunk, part) = (int(u64::from(chunk)), int(part));
                    self.push(sql, vec![int(key), chunk, part, int(ok), data]);
                }
            }
            Write::Marks(marks) => {
                let sql = "INSERT OR REPLACE INTO meta(key, value) VALUES('marks', ?)";
                self.push(sql, vec![pack(&marks)?]);
            }
            other => return Err(StoreError::Sql(format!("not known here: {other:?}"))),
        }
        Ok(())
    }
}

fn pack(value: &impl Serialize) -> Result<SqlStorageValue> {
    Ok(SqlStorageValue::Blob(postcard::to_allocvec(value)?))
}

impl Store for SqlStore {
    type Error = StoreError;

    fn write(&mut self, line: Write<'_>) -> Result<()> {
        self.line(line)
    }

    fn commit(&mut self) -> Result<()> {
        self.database.transaction(core::mem::take(&mut self.round))
    }

    fn payload(&self, seq: u64) -> Result<Vec<u8>> {
        let sql = "SELECT data FROM payloads WHERE seq = ? ORDER BY part";
        Ok(self.database.blob(sql, vec![int(seq)])?.unwrap_or_default())
    }

    fn result(&self, seq: u64) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT data FROM results WHERE seq = ? ORDER BY part";
        self.database.blob(sql, vec![int(seq)])
    }

    fn processor(&self, key: u64) -> Result<Vec<u8>> {
        let sql = "SELECT processor FROM batches WHERE key = ?";
        Ok(self.database.blob(sql, vec![int(key)])?.unwrap_or_default())
    }

    fn chunks(
        &self,
        key: u64,
        from: u32,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<(u32, ChunkOutcome)>> {
        let sql = "SELECT chunk, ok, data FROM chunks WHERE key = ? AND chunk >= ? AND chunk <= ?
                   ORDER BY chunk, part";
        let mut found: Vec<(u32, ChunkOutcome)> = Vec::new();
        let (mut next, mut read) = (u64::from(from), 0);
        while found.len() < limit && read < bytes_max {
            // Some chunks at a time: a cursor would have to be read to its end.
            let some = (limit - found.len()).min(CHUNKS_READ) as u64;
            let Some(last) = self.last_of(key, next, some)? else {
                break;
            };
            for row in self
                .database
                .rows(sql, vec![int(key), int(next), int(last)])?
            {
                let mut columns = row.into_iter();
                let chunk = number(columns.next())? as u32;
                let ok = number(columns.next())? == 1;
                let data = bytes(columns.next())?;
                read += data.len();
                add_part(&mut found, chunk, ok, data);
            }
            next = last + 1;
        }
        Ok(found)
    }
}

/// Chunks read by one statement.
const CHUNKS_READ: usize = 16;

fn add_part(found: &mut Vec<(u32, ChunkOutcome)>, chunk: u32, ok: bool, data: Vec<u8>) {
    match found.last_mut() {
        Some((last, Ok(whole))) if *last == chunk => whole.extend_from_slice(&data),
        Some((last, Err(whole))) if *last == chunk => {
            whole.push_str(&String::from_utf8_lossy(&data));
        }
        _ if ok => found.push((chunk, Ok(data))),
        _ => found.push((chunk, Err(String::from_utf8_lossy(&data).into_owned()))),
    }
}

impl SqlStore {
    /// The index of the last of the next `some` chunks.
    fn last_of(&self, key: u64, from: u64, some: u64) -> Result<Option<u64>> {
        let sql = "SELECT max(chunk) FROM (SELECT DISTINCT chunk FROM chunks
                   WHERE key = ? AND chunk >= ? ORDER BY chunk LIMIT ?)";
        let rows = self
            .database
            .rows(sql, vec![int(key), int(from), int(some)])?;
        match rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next())
        {
            None | Some(SqlStorageValue::Null) => Ok(None),
            last => number(last).map(Some),
        }
    }
}
