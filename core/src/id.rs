//! Identities: the ids that callers give to users, items and wines, and the ids that we give.

use serde::{Deserialize, Serialize};

/// An entity's or item's id as callers write it in JSON: an integer or a string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Key {
    /// An integer within ±2^53.
    Int(i64),
    /// Any string.
    Text(Box<str>),
}

impl core::fmt::Display for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Int(n) => write!(f, "{n}"),
            Self::Text(s) => f.write_str(s),
        }
    }
}

impl From<i64> for Key {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<&str> for Key {
    fn from(s: &str) -> Self {
        Self::Text(s.into())
    }
}
