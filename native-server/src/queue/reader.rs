//! Reads of what is committed, beside the writer.

use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::{
    store::{CHUNK_BITS, Result, chunk_id, connect},
    types::ChunkResult,
};

/// A second connection that sees what is committed.
pub(super) struct Reader(Connection);

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Self(connect(path, flags)?))
    }

    /// The result of a job; empty if it has none.
    pub(super) fn result(&self, seq: u64) -> Result<Option<Bytes>> {
        let sql = "SELECT coalesce(result, (SELECT data FROM results WHERE seq = ?1))
                   FROM jobs WHERE seq = ?1";
        let mut statement = self.0.prepare_cached(sql)?;
        let data = statement.query_row([seq as i64], |r| r.get::<_, Option<Vec<u8>>>(0));
        Ok(data.optional()?.map(|data| data.unwrap_or_default().into()))
    }

    /// Ended chunks from index `from`, in order, at most `limit` and about `bytes_max` in all.
    pub(super) fn chunks(
        &self,
        batch: u64,
        from: u32,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<ChunkResult>> {
        let sql = "SELECT id, ok, data FROM chunk_results WHERE id >= ?1 AND id < ?2
                   ORDER BY id LIMIT ?3";
        let mut statement = self.0.prepare_cached(sql)?;
        let (first, end) = (chunk_id(batch, from), chunk_id(batch + 1, 0));
        let mut rows = statement.query(params![first, end, limit as i64])?;
        let (mut results, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let chunk = (row.get::<_, i64>(0)? & ((1 << CHUNK_BITS) - 1)) as u32;
            let data: Vec<u8> = row.get(2)?;
            bytes += data.len();
            if !results.is_empty() && bytes > bytes_max {
                break;
            }
            let outcome = if row.get(1)? {
                Ok(data.into())
            } else {
                Err(String::from_utf8_lossy(&data).into_owned())
            };
            results.push(ChunkResult { chunk, outcome });
        }
        Ok(results)
    }
}
