//! The frames between parent and child: fixed headers, little-endian, then bytes.
//!
//! Request: [`Request`] (48 bytes), source, chunk. Reply: a tag and a length (9 bytes), payload.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::Limits;

/// Longest source that a child accepts, bytes. The callers' own limit is lower.
pub(super) const SOURCE_BYTES_MAX: u64 = 1 << 20;
/// Longest chunk that a child accepts, bytes.
pub(super) const CHUNK_BYTES_MAX: u64 = 256 << 20;
/// Longest report or fault that a parent reads, bytes.
pub(super) const NOTE_BYTES_MAX: u64 = 16 << 10;

/// Bytes of an encoded [`Request`].
pub(super) const REQUEST_BYTES: usize = 48;
/// Bytes of an encoded reply header.
pub(super) const REPLY_BYTES: usize = 9;

/// What precedes a source and a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) limits: Limits,
    pub(super) source_bytes: u64,
    pub(super) chunk_bytes: u64,
}

impl Request {
    pub(super) fn encode(self) -> [u8; REQUEST_BYTES] {
        let l = self.limits;
        let words = [
            l.time_ms,
            l.memory_bytes,
            l.output_bytes,
            l.stack_bytes,
            self.source_bytes,
            self.chunk_bytes,
        ];
        let mut bytes = [0; REQUEST_BYTES];
        for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: [u8; REQUEST_BYTES]) -> Self {
        let mut words = [0u64; 6];
        for (word, slot) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut le = [0; 8];
            le.copy_from_slice(slot);
            *word = u64::from_le_bytes(le);
        }
        let [
            time_ms,
            memory_bytes,
            output_bytes,
            stack_bytes,
            source_bytes,
            chunk_bytes,
        ] = words;
        Self {
            limits: Limits {
                time_ms,
                memory_bytes,
                output_bytes,
                stack_bytes,
            },
            source_bytes,
            chunk_bytes,
        }
    }

    /// The next request; `None` when the parent closed the pipe.
    pub(super) fn read(input: &mut impl Read) -> io::Result<Option<Self>> {
        let mut bytes = [0; REQUEST_BYTES];
        match input.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(Self::decode(bytes))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Reads `len` bytes into a vector with `spare` bytes of room behind them.
pub(super) fn read_vec(input: &mut impl Read, len: u64, spare: usize) -> io::Result<Vec<u8>> {
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(len + spare)
        .map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.resize(len, 0);
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What a reply carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    /// The layers in force, as JSON; once, before the first request.
    Ready = 0,
    /// The result's JSON.
    Output = 1,
    /// A [`Fault`] as JSON.
    Fault = 2,
}

/// Tag and payload length of a reply.
pub(super) fn encode_reply(tag: Tag, len: usize) -> [u8; REPLY_BYTES] {
    let mut bytes = [0; REPLY_BYTES];
    bytes[0] = tag as u8;
    bytes[1..].copy_from_slice(&(len as u64).to_le_bytes());
    bytes
}

/// The reverse of [`encode_reply`]; `None` for an unknown tag.
pub(super) fn decode_reply(bytes: [u8; REPLY_BYTES]) -> Option<(Tag, u64)> {
    let [tag, len @ ..] = bytes;
    let tag = match tag {
        0 => Tag::Ready,
        1 => Tag::Output,
        2 => Tag::Fault,
        _ => return None,
    };
    Some((tag, u64::from_le_bytes(len)))
}

/// Writes a whole reply.
pub(super) fn write_reply(output: &mut impl Write, tag: Tag, payload: &[u8]) -> io::Result<()> {
    output.write_all(&encode_reply(tag, payload.len()))?;
    output.write_all(payload)?;
    output.flush()
}

/// What went wrong in the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FaultKind {
    Syntax,
    Exception,
    NotAFunction,
    BadResult,
    Timeout,
    Memory,
    OutputTooLarge,
    Stack,
}

impl FaultKind {
    /// Whether the interpreter may be left in a state that no other chunk should meet.
    pub(super) fn is_limit(self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::Memory | Self::OutputTooLarge | Self::Stack
        )
    }
}

/// A failed chunk, as the child reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u32>,
}

impl Fault {
    pub(super) fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            line: None,
        }
    }
}
