//! Ids of jobs, tasks, batches and chunks.

use core::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

use crate::time::Timestamp;

/// What a piece of work is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A background job (`job_...`).
    #[default]
    Job,
    /// A task of the parallel engine (`task_...`).
    Task,
    /// One chunk of a batch (`batch_..._... .index`).
    Chunk,
}

impl Kind {
    /// Every kind, in the order of [`Self::index`].
    pub const ALL: [Self; 3] = [Self::Job, Self::Task, Self::Chunk];

    /// 0, 1, 2: for tables by kind.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Task => "task",
            Self::Chunk => "batch",
        }
    }
}

/// The id of a job, task or chunk: `job_<ms>_<32 hex>`, `task_<ms>_<32 hex>`,
/// `batch_<ms>_<32 hex>.<chunk>`. The 128 bits make it unguessable; 40 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// What it names.
    pub kind: Kind,
    /// When it was made.
    pub created: Timestamp,
    /// 128 random bits, big-endian halves.
    pub entropy: [u64; 2],
    /// The chunk's index in its batch; 0 for the other kinds.
    pub chunk: u32,
}

/// The id of a batch: `batch_<ms>_<32 hex>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId {
    /// When it was made.
    pub created: Timestamp,
    /// 128 random bits, big-endian halves.
    pub entropy: [u64; 2],
}

fn halves(entropy: [u8; 16]) -> [u64; 2] {
    let n = u128::from_be_bytes(entropy);
    [(n >> 64) as u64, n as u64]
}

impl JobId {
    /// The id of a job or task made at `now` from 16 random bytes.
    #[must_use]
    pub fn new(kind: Kind, now: Timestamp, entropy: [u8; 16]) -> Self {
        Self {
            kind,
            created: now,
            entropy: halves(entropy),
            chunk: 0,
        }
    }

    /// The batch that a chunk belongs to.
    #[must_use]
    pub fn batch(self) -> Option<BatchId> {
        (self.kind == Kind::Chunk).then_some(BatchId {
            created: self.created,
            entropy: self.entropy,
        })
    }
}

impl BatchId {
    /// The id of a batch made at `now` from 16 random bytes.
    #[must_use]
    pub fn new(now: Timestamp, entropy: [u8; 16]) -> Self {
        Self {
            created: now,
            entropy: halves(entropy),
        }
    }

    /// The id of one of its chunks.
    #[must_use]
    pub const fn chunk(self, chunk: u32) -> JobId {
        JobId {
            kind: Kind::Chunk,
            created: self.created,
            entropy: self.entropy,
            chunk,
        }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [high, low] = self.entropy;
        write!(
            f,
            "{}_{}_{high:016x}{low:016x}",
            self.kind.prefix(),
            self.created.0
        )?;
        if self.kind == Kind::Chunk {
            write!(f, ".{}", self.chunk)?;
        }
        Ok(())
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [high, low] = self.entropy;
        write!(f, "batch_{}_{high:016x}{low:016x}", self.created.0)
    }
}

/// A text that is no id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an id: expected job_, task_ or batch_, then milliseconds, _ and 32 hex digits")]
pub struct ParseIdError;

fn number(text: &str) -> Result<u64, ParseIdError> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or(ParseIdError)
}

fn parts(text: &str) -> Result<(&str, Timestamp, [u64; 2]), ParseIdError> {
    let mut fields = text.split('_');
    let (Some(prefix), Some(ms), Some(hex), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(ParseIdError);
    };
    if hex.len() != 32 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(ParseIdError);
    }
    let entropy = u128::from_str_radix(hex, 16).map_err(|_| ParseIdError)?;
    Ok((
        prefix,
        Timestamp(number(ms)?),
        [(entropy >> 64) as u64, entropy as u64],
    ))
}

impl FromStr for JobId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (head, chunk) = match text.split_once('.') {
            Some((head, chunk)) => (head, Some(number(chunk)?)),
            None => (text, None),
        };
        let (prefix, created, entropy) = parts(head)?;
        let (kind, chunk) = match (prefix, chunk) {
            ("job", None) => (Kind::Job, 0),
            ("task", None) => (Kind::Task, 0),
            ("batch", Some(n)) => (Kind::Chunk, u32::try_from(n).map_err(|_| ParseIdError)?),
            _ => return Err(ParseIdError),
        };
        Ok(Self {
            kind,
            created,
            entropy,
            chunk,
        })
    }
}

impl FromStr for BatchId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        match parts(text)? {
            ("batch", created, entropy) => Ok(Self { created, entropy }),
            _ => Err(ParseIdError),
        }
    }
}

// Text in JSON, a few bytes in the store's binary records.
impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            return s.collect_str(self);
        }
        (
            self.kind.index() as u8,
            self.created,
            self.entropy,
            self.chunk,
        )
            .serialize(s)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            return String::deserialize(d)?.parse().map_err(D::Error::custom);
        }
        let (kind, created, entropy, chunk) = <(u8, Timestamp, [u64; 2], u32)>::deserialize(d)?;
        let kind = Kind::ALL.get(usize::from(kind)).copied();
        let kind = kind.ok_or_else(|| D::Error::custom("kind of job out of range"))?;
        Ok(Self {
            kind,
            created,
            entropy,
            chunk,
        })
    }
}

impl Serialize for BatchId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            return s.collect_str(self);
        }
        (self.created, self.entropy).serialize(s)
    }
}

impl<'de> Deserialize<'de> for BatchId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            return String::deserialize(d)?.parse().map_err(D::Error::custom);
        }
        let (created, entropy) = <(Timestamp, [u64; 2])>::deserialize(d)?;
        Ok(Self { created, entropy })
    }
}
