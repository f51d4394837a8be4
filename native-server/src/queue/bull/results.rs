//! Results: as JSON in the job, where everyone finds them, and beside it where that would be too
//! much or too little.
//!
//! BullMQ repeats the return value in its stream of events, which keeps some thousands, so it must
//! be small. A result above [`INLINE_MAX`] stands under `<job>:result` alone, as its stored bytes,
//! and the return value tells where. A smaller matrix stands in both places: as rows for others,
//! as its bytes for us, who may be asked for them.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sommos_core::{
    limits::Limits,
    wire::tasks::{result_json, result_npy},
};

/// Largest result, in its stored form, that is the job's return value, bytes.
const INLINE_MAX: usize = 256 << 10;
/// The only field of a return value that tells where the result is.
const ELSEWHERE: &str = "$result";
/// What stored JSON begins with.
const JSON: u8 = b'J';

/// The bytes beside a job and its return value, as [`super::scripts::RESULT`] finds them.
pub(super) type Found = (Option<Vec<u8>>, Option<Vec<u8>>);

/// A result on its way into Redis.
pub(super) struct Outgoing {
    /// BullMQ's return value.
    pub value: Value,
    /// Whether the stored bytes must stand beside the job.
    pub beside: bool,
}

/// A stored result as BullMQ takes it.
///
/// # Errors
/// What is wrong with it; none for what executors give.
pub(super) fn outgoing(stored: &[u8], job: &str) -> Result<Outgoing, String> {
    let matrix = result_npy(stored).is_ok();
    if stored.len() > INLINE_MAX {
        let format = if matrix { "npy" } else { "json" };
        let fields =
            json!({"key": format!("{job}:result"), "format": format, "bytes": stored.len()});
        return Ok(Outgoing {
            value: json!({ELSEWHERE: fields}),
            beside: true,
        });
    }
    let json = result_json(stored, &Limits::default()).map_err(|error| error.message)?;
    let value: Value = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
    // A result that looks like our own note would be taken for it.
    let looks = value.get(ELSEWHERE).is_some();
    Ok(Outgoing {
        value,
        beside: matrix || looks,
    })
}

/// The stored form of what [`super::scripts::RESULT`] found; `None` when it is no longer there.
pub(super) fn stored(beside: Option<Vec<u8>>, value: Option<Vec<u8>>) -> Option<Bytes> {
    if let Some(beside) = beside {
        return Some(beside.into());
    }
    let value = value.filter(|json| !json.is_empty())?;
    let note = format!("{{\"{ELSEWHERE}\":");
    if value.starts_with(note.as_bytes()) {
        return None;
    }
    let mut stored = Vec::with_capacity(value.len() + 1);
    stored.push(JSON);
    stored.extend_from_slice(&value);
    Some(stored.into())
}

/// How long a result beside a job is kept: as long as the job, and a while for those that finish
/// late.
pub(super) fn keep(retention_ms: u64) -> Duration {
    Duration::from_millis(retention_ms.clamp(60_000, 100 * 366 * 86_400_000))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn json_goes_in_the_job_and_comes_back() {
        let out = outgoing(br#"J{"a":[1,2.5]}"#, "p:jobs:1").unwrap();
        assert_eq!((out.value, out.beside), (json!({"a": [1, 2.5]}), false));
        let back = stored(None, Some(br#"{"a":[1,2.5]}"#.to_vec())).unwrap();
        assert_eq!(&*back, br#"J{"a":[1,2.5]}"#);
    }

    #[test]
    fn much_goes_beside_the_job_and_may_be_gone() {
        let mut text = b"J\"".to_vec();
        text.resize(INLINE_MAX + 2, b'x');
        text.push(b'"');
        let out = outgoing(&text, "p:jobs:1").unwrap();
        assert!(out.beside);
        assert_eq!(out.value[ELSEWHERE]["key"], "p:jobs:1:result");
        let value = out.value.to_string().into_bytes();
        assert_eq!(
            stored(Some(text.clone()), Some(value.clone())).unwrap(),
            text
        );
        assert_eq!(stored(None, Some(value)), None);
    }
}
