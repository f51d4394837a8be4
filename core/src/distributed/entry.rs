//! How a value is kept in the store: a head with its tags, then the JSON text, packed above a size.
//!
//! ```text
//! 'S' version flags | u32 length of the JSON | u64 stale window ms | u64 fresh until | u64 until
//! u16 tags
//! (u16 length, bytes of the tag, u64 barrier) for each tag | the JSON, or its LZ4 block
//! ```
//! All numbers little-endian. A value lives until `until` by the store's own clock (PXAT), so
//! servers need not agree on a clock, and a reader learns it with the value; `fresh until` is the
//! writer's clock and can only shorten it.

use std::borrow::Cow;

use crate::{
    compress::{pack_block, unpack_block},
    time::Timestamp,
};

const MAGIC: u8 = b'S';
const VERSION: u8 = 2;
const PACKED: u8 = 1;
/// Bytes before the tags.
const HEAD_BYTES: usize = 33;

/// A tag of a value and the barrier that the tag had when the value was written. The value holds
/// while the tag's barrier is not above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'a> {
    /// The tag.
    pub name: &'a str,
    /// The newest barrier that the writer knew, microseconds of the store's clock; 0: none.
    pub barrier: u64,
}

/// A value as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedEntry<'a> {
    /// JSON text.
    pub value: Cow<'a, str>,
    /// How long it is stale at the end of its time, ms.
    pub stale_ms: u64,
    /// Until when it is fresh, by the clock of the writer.
    pub fresh_until: Timestamp,
    /// Until when it lives, stale or not, by the clock of the store.
    pub until: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag<'a>>,
}

/// What is wrong with bytes from the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Not written by this program.
    #[error("a value in the store has no head that this version knows: {0}")]
    Head(&'static str),
    /// The JSON is longer than allowed.
    #[error("a value in the store has {0} bytes of JSON; at most {1}")]
    TooLarge(usize, usize),
    /// It cannot be unpacked or is no UTF-8.
    #[error("a value in the store is damaged: {0}")]
    Damaged(String),
}

impl<'a> SharedEntry<'a> {
    /// The bytes to store; the JSON is packed from `pack_from` bytes on, when that makes it
    /// smaller. O(n).
    #[must_use]
    pub fn encode(&self, pack_from: usize) -> Vec<u8> {
        let raw = self.value.as_bytes();
        let packed = (raw.len() >= pack_from)
            .then(|| pack_block(raw))
            .filter(|packed| packed.len() < raw.len());
        let (flags, body) = match &packed {
            Some(packed) => (PACKED, &packed[..]),
            None => (0, raw),
        };
        let tags: usize = self.tags.iter().map(|tag| tag.name.len() + 10).sum();
        let mut bytes = Vec::with_capacity(HEAD_BYTES + tags + body.len());
        bytes.extend([MAGIC, VERSION, flags]);
        bytes.extend((raw.len() as u32).to_le_bytes());
        bytes.extend(self.stale_ms.to_le_bytes());
        bytes.extend(self.fresh_until.0.to_le_bytes());
        bytes.extend(self.until.0.to_le_bytes());
        bytes.extend((self.tags.len() as u16).to_le_bytes());
        for tag in &self.tags {
            bytes.extend((tag.name.len() as u16).to_le_bytes());
            bytes.extend(tag.name.as_bytes());
            bytes.extend(tag.barrier.to_le_bytes());
        }
        bytes.extend(body);
        bytes
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`EntryError`]; nothing is allocated beyond `value_max` bytes.
    pub fn decode(bytes: &'a [u8], value_max: usize) -> Result<Self, EntryError> {
        let mut rest = bytes;
        let head: [u8; 3] = take(&mut rest)?;
        if head[..2] != [MAGIC, VERSION] {
            return Err(EntryError::Head("magic or version"));
        }
        let len = u32::from_le_bytes(take(&mut rest)?) as usize;
        if len > value_max {
            return Err(EntryError::TooLarge(len, value_max));
        }
        let stale_ms = u64::from_le_bytes(take(&mut rest)?);
        let fresh_until = Timestamp(u64::from_le_bytes(take(&mut rest)?));
        let until = Timestamp(u64::from_le_bytes(take(&mut rest)?));
        let count = u16::from_le_bytes(take(&mut rest)?);
        let tags = (0..count)
            .map(|_| take_tag(&mut rest))
            .collect::<Result<_, _>>()?;
        let value = match head[2] {
            0 if rest.len() == len => Cow::Borrowed(text(rest)?),
            PACKED => Cow::Owned(unpack(rest, len)?),
            _ => return Err(EntryError::Head("flags or length")),
        };
        Ok(Self {
            value,
            stale_ms,
            fresh_until,
            until,
            tags,
        })
    }

    /// How long a copy may be fresh and then stale, ms, when the store's clock shows `store_now` at
    /// most.
    #[must_use]
    pub fn times_left(&self, now: Timestamp, store_now: Timestamp) -> (u64, u64) {
        let left_ms = self.until.ms_since(store_now);
        let fresh = left_ms.saturating_sub(self.stale_ms);
        let fresh = fresh.min(self.fresh_until.ms_since(now));
        (fresh, self.stale_ms.min(left_ms - fresh))
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], EntryError> {
    let (head, tail) = rest
        .split_first_chunk::<N>()
        .ok_or(EntryError::Head("too short"))?;
    *rest = tail;
    Ok(*head)
}

/// Whether an encoded entry carries this tag; the value is not looked at.
pub(super) fn has_tag(bytes: &[u8], tag: &str) -> bool {
    let find = || -> Result<bool, EntryError> {
        let mut rest = bytes;
        // Magic, version, flags; length; stale time; the two ends.
        let _: [u8; 3 + 4 + 8 + 8 + 8] = take(&mut rest)?;
        for _ in 0..u16::from_le_bytes(take(&mut rest)?) {
            if take_tag(&mut rest)?.name == tag {
                return Ok(true);
            }
        }
        Ok(false)
    };
    // One that cannot be read has none.
    find().unwrap_or(false)
}

fn take_tag<'a>(rest: &mut &'a [u8]) -> Result<Tag<'a>, EntryError> {
    let len = usize::from(u16::from_le_bytes(take(rest)?));
    let (name, tail) = rest
        .split_at_checked(len)
        .ok_or(EntryError::Head("tags too short"))?;
    *rest = tail;
    Ok(Tag {
        name: text(name)?,
        barrier: u64::from_le_bytes(take(rest)?),
    })
}

fn text(bytes: &[u8]) -> Result<&str, EntryError> {
    std::str::from_utf8(bytes).map_err(|error| EntryError::Damaged(error.to_string()))
}

fn unpack(block: &[u8], len: usize) -> Result<String, EntryError> {
    let bytes = unpack_block(block, len).map_err(|e| EntryError::Damaged(e.to_string()))?;
    String::from_utf8(bytes).map_err(|error| EntryError::Damaged(error.to_string()))
}
