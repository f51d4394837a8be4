//! Books as Redis keeps them.

use redis::Value;
use sommos_core::{
    batch::{BatchOptions, BatchStatus, Book, ChunkError},
    jobs::BatchId,
    time::Timestamp,
};

/// Of a book's hash, in the order in which [`book`] takes them.
pub(super) const FIELDS: &[&str] = &[
    "status",
    "options",
    "sealed",
    "items",
    "done",
    "chunks",
    "completed",
    "failed",
    "cancelled",
    "error",
    "result_bytes",
    "started",
    "ended",
    "deadline",
];

/// The book that these values tell of; `None` when there is none, or none yet.
pub(super) fn book(id: BatchId, fields: &Value, errors: &Value) -> Option<Book> {
    let Value::Array(fields) = fields else {
        return None;
    };
    let text = |name: &str| {
        let at = FIELDS.iter().position(|field| *field == name)?;
        text(fields.get(at)?)
    };
    let number = |name: &str| text(name)?.parse::<u64>().ok();
    let count = |name: &str| {
        let n = number(name).unwrap_or(0);
        u32::try_from(n).unwrap_or(u32::MAX)
    };
    let options: BatchOptions = serde_json::from_str(text("options")?).ok()?;
    let mut book = Book::new(0, id, id.created, options);
    book.status = status(text("status")?)?;
    book.sealed = count("sealed") == 1;
    book.total_items = number("items").unwrap_or(0);
    book.processed_items = number("done").unwrap_or(0);
    book.total_chunks = count("chunks");
    book.completed_chunks = count("completed");
    book.failed_chunks = count("failed");
    book.cancelled_chunks = count("cancelled");
    book.errors = errors_of(errors);
    book.error = text("error").map(Into::into);
    book.result_bytes = number("result_bytes").unwrap_or(0);
    book.started_at = number("started").map(Timestamp);
    book.completed_at = number("ended").map(Timestamp);
    book.deadline = Timestamp(number("deadline")?);
    Some(book)
}

/// A batch that is still being written has no status.
pub(super) fn status(text: &str) -> Option<BatchStatus> {
    [
        BatchStatus::Queued,
        BatchStatus::Running,
        BatchStatus::Completed,
        BatchStatus::Failed,
        BatchStatus::Cancelled,
    ]
    .into_iter()
    .find(|status| status.to_string() == text)
}

fn errors_of(list: &Value) -> Vec<ChunkError> {
    let Value::Array(list) = list else {
        return Vec::new();
    };
    let entry = |value| {
        let (chunk, error) = text(value)?.split_once(':')?;
        Some(ChunkError {
            chunk: chunk.parse().ok()?,
            error: error.into(),
        })
    };
    let mut errors: Vec<_> = list.iter().filter_map(entry).collect();
    // Chunks that fail at once, perhaps on two servers, have no order but their own.
    errors.sort_by_key(|error| error.chunk);
    errors
}

/// A text that Redis gave.
pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// A number that Redis gave, as it is or as a text.
pub(super) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(n) => Some(*n),
        other => text(other)?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn a_book_is_what_its_fields_say() {
        let id = BatchId::new(Timestamp(5), [7; 16]);
        let options = serde_json::to_string(&BatchOptions::default()).unwrap();
        let fields = [
            "failed", &options, "1", "70", "40", "7", "4", "2", "1", "why", "99", "10", "30", "40",
        ];
        let fields = Value::Array(fields.map(bulk).to_vec());
        let errors = Value::Array(vec![bulk("3:a: b"), bulk("1:c")]);
        let book = book(id, &fields, &errors).unwrap();
        assert_eq!(book.status, BatchStatus::Failed);
        assert_eq!((book.total_items, book.processed_items), (70, 40));
        assert_eq!((book.total_chunks, book.ended_chunks()), (7, 7));
        // By chunk, in whatever order they happened.
        assert_eq!((book.errors[0].chunk, &*book.errors[0].error), (1, "c"));
        assert_eq!((book.errors[1].chunk, &*book.errors[1].error), (3, "a: b"));
        assert_eq!(book.processing_ms(Timestamp(1000)), 20);
        assert_eq!(book.error.as_deref(), Some("why"));
    }

    #[test]
    fn what_is_still_written_is_no_book() {
        let id = BatchId::new(Timestamp(5), [7; 16]);
        let options = serde_json::to_string(&BatchOptions::default()).unwrap();
        let mut fields = vec![Value::Nil; FIELDS.len()];
        let none = Value::Array(Vec::new());
        assert!(book(id, &Value::Array(fields.clone()), &none).is_none());
        fields[0] = bulk("writing");
        fields[1] = bulk(&options);
        fields[13] = bulk("1");
        assert!(book(id, &Value::Array(fields), &none).is_none());
    }
}
