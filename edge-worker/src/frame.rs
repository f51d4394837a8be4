//! What isolates and Durable Objects send each other: a head in postcard's format, and the bytes beside
//! it, each behind its length. So that no payload is encoded or copied more than once.

use serde::{Serialize, de::DeserializeOwned};
use sommos_core::wire::{ApiError, ErrorCode};

/// A head and the bytes that go with it.
#[derive(Debug, PartialEq)]
pub(crate) struct Frame<H> {
    pub(crate) head: H,
    pub(crate) blobs: Vec<Vec<u8>>,
}

/// Writes a frame.
pub(crate) fn encode<B: AsRef<[u8]>>(
    head: &impl Serialize,
    blobs: &[B],
) -> Result<Vec<u8>, ApiError> {
    let head = postcard::to_allocvec(head).map_err(internal)?;
    let bytes = blobs.iter().map(|b| 4 + b.as_ref().len()).sum::<usize>();
    let mut out = Vec::with_capacity(4 + head.len() + bytes);
    put(&mut out, &head)?;
    for blob in blobs {
        put(&mut out, blob.as_ref())?;
    }
    Ok(out)
}

fn put(out: &mut Vec<u8>, blob: &[u8]) -> Result<(), ApiError> {
    let length = u32::try_from(blob.len()).map_err(internal)?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(blob);
    Ok(())
}

/// Reads a frame.
pub(crate) fn decode<H: DeserializeOwned>(mut bytes: &[u8]) -> Result<Frame<H>, ApiError> {
    let head = postcard::from_bytes(take(&mut bytes)?).map_err(internal)?;
    let mut blobs = Vec::new();
    while !bytes.is_empty() {
        blobs.push(take(&mut bytes)?.to_vec());
    }
    Ok(Frame { head, blobs })
}

fn take<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], ApiError> {
    let short = || internal("cut short");
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
    let length = u32::from_le_bytes(*length) as usize;
    let blob = rest.get(..length).ok_or_else(short)?;
    *bytes = &rest[length..];
    Ok(blob)
}

fn internal(error: impl core::fmt::Display) -> ApiError {
    ApiError::new(
        ErrorCode::Internal,
        format!("a message between the worker and its objects: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let bytes = encode(&("a", 7u32), &[&b"xyz"[..], b""]).unwrap();
        let frame: Frame<(String, u32)> = decode(&bytes).unwrap();
        assert_eq!(frame.head, ("a".to_owned(), 7));
        assert_eq!(frame.blobs, [b"xyz".to_vec(), Vec::new()]);
        // Whole blobs may be missing at the end, and it is still a frame; nothing else may.
        let whole = [4 + 3, 4 + 3 + 4 + 3];
        for end in 0..bytes.len() {
            let read = decode::<(String, u32)>(&bytes[..end]).is_ok();
            assert_eq!(read, whole.contains(&end), "{end}");
        }
    }
}
