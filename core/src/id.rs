//! Identities: the ids that callers give to users, items and wines, and the ids that we give.

use serde::{Deserialize, Deserializer, Serialize, de};

/// An entity's or item's id as callers write it in JSON: an integer or a string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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

/// Largest integer that every JSON reader keeps exactly.
const INTEGER_MAX: i64 = 1 << 53;

// By hand: `untagged` would buffer every id before deciding what it is.
impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Key;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("an id: an integer within ±2^53 or a string")
            }

            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Key, E> {
                if (-INTEGER_MAX..=INTEGER_MAX).contains(&n) {
                    return Ok(Key::Int(n));
                }
                Err(E::invalid_value(de::Unexpected::Signed(n), &self))
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Key, E> {
                match i64::try_from(n) {
                    Ok(n) => self.visit_i64(n),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Unsigned(n), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, s: &str) -> Result<Key, E> {
                Ok(Key::Text(s.into()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn ids_are_integers_or_strings() {
        assert_eq!(serde_json::from_str::<Key>("7").unwrap(), Key::Int(7));
        assert_eq!(
            serde_json::from_str::<Key>("\"7\"").unwrap(),
            Key::Text("7".into())
        );
        for bad in ["1.5", "null", "9007199254740993", "[]"] {
            assert!(serde_json::from_str::<Key>(bad).is_err(), "{bad}");
        }
        assert_eq!(
            serde_json::to_string(&[Key::Int(1), "a".into()]).unwrap(),
            "[1,\"a\"]"
        );
    }
}
