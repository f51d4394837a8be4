//! The SQLite of a Durable Object, with transactions and with blobs of any size.

use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;
use worker::{SqlStorage, SqlStorageValue, Storage};

/// Bytes of one part of a blob: a value takes two megabytes at most.
const PART_BYTES: usize = 1 << 20;

#[wasm_bindgen]
extern "C" {
    /// The method that `worker` does not bind.
    type Transactional;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &Transactional,
        closure: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;
}

/// Why the storage did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StoreError {
    /// SQLite's word.
    #[error("{0}")]
    Sql(String),
    /// A row that this version cannot read.
    #[error("a row cannot be read: {0}")]
    Decode(String),
    /// A record that cannot be written.
    #[error("a record cannot be encoded: {0}")]
    Encode(#[from] postcard::Error),
}

impl From<worker::Error> for StoreError {
    fn from(error: worker::Error) -> Self {
        Self::Sql(error.to_string())
    }
}

/// What a row holds or a statement is given.
pub(crate) type Row = Vec<SqlStorageValue>;

/// A storage's SQL, with transactions.
#[derive(Debug)]
pub(crate) struct Database {
    sql: SqlStorage,
    storage: Storage,
}

impl Database {
    pub(crate) fn new(storage: Storage, schema: &str) -> Result<Self, StoreError> {
        let sql = storage.sql();
        sql.exec(schema, None)?;
        Ok(Self { sql, storage })
    }

    /// Runs these statements, all or none.
    pub(crate) fn transaction(
        &self,
        statements: Vec<(&'static str, Row)>,
    ) -> Result<(), StoreError> {
        let storage: &JsValue = self.storage.as_raw().as_ref();
        let mut statements = Some(statements);
        let mut run = || {
            for (sql, row) in statements.take().into_iter().flatten() {
                self.sql.exec(sql, row).map_err(JsValue::from)?;
            }
            Ok(JsValue::UNDEFINED)
        };
        storage
            .unchecked_ref::<Transactional>()
            .transaction_sync(&mut run)
            .map_err(|error| StoreError::Sql(worker::Error::from(error).to_string()))?;
        Ok(())
    }

    pub(crate) fn rows(&self, sql: &str, row: Row) -> Result<Vec<Row>, StoreError> {
        let rows = self.sql.exec(sql, row)?.raw();
        Ok(rows.collect::<worker::Result<_>>()?)
    }

    /// The parts of a blob as one; `None` when there are none.
    pub(crate) fn blob(&self, sql: &str, row: Row) -> Result<Option<Vec<u8>>, StoreError> {
        let mut parts = self.rows(sql, row)?.into_iter();
        let Some(first) = parts.next() else {
            return Ok(None);
        };
        let mut data = bytes(first.into_iter().next())?;
        for part in parts {
            data.extend_from_slice(&bytes(part.into_iter().next())?);
        }
        Ok(Some(data))
    }
}

/// A whole number of the database: below 2^53, as all of ours are.
pub(crate) fn int(value: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

pub(crate) fn blob(value: &[u8]) -> SqlStorageValue {
    SqlStorageValue::Blob(value.to_vec())
}

/// The number in a column.
pub(crate) fn number(value: Option<SqlStorageValue>) -> Result<u64, StoreError> {
    match value {
        Some(SqlStorageValue::Integer(n)) => Ok(n.max(0) as u64),
        Some(SqlStorageValue::Float(n)) => Ok(n as u64),
        other => Err(StoreError::Decode(format!(
            "expected a number, got {other:?}"
        ))),
    }
}

/// The bytes in a column.
pub(crate) fn bytes(value: Option<SqlStorageValue>) -> Result<Vec<u8>, StoreError> {
    match value {
        Some(SqlStorageValue::Blob(bytes)) => Ok(bytes),
        other => Err(StoreError::Decode(format!("expected bytes, got {other:?}"))),
    }
}

pub(crate) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|error| StoreError::Decode(error.to_string()))
}

/// The parts that a blob is stored in, numbered.
pub(crate) fn parts(data: &[u8]) -> impl Iterator<Item = (u64, SqlStorageValue)> {
    let whole = core::iter::once(data).take(usize::from(data.is_empty()));
    (0..).zip(whole.chain(data.chunks(PART_BYTES)).map(blob))
}
