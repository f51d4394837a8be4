//! Who may call: bearer tokens with scopes, and the pages of other origins.

mod origins;
mod tokens;

use thiserror::Error;

pub use origins::Origins;
pub use tokens::Tokens;

/// What is wrong with a configured token or origin. No token is ever printed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A token that could be guessed.
    #[error("a token has at least {min} characters, this one has {found}")]
    ShortToken {
        /// Characters that it has.
        found: usize,
        /// Characters that it must have.
        min: usize,
    },
    /// A line without scopes, or with one that there is not.
    #[error("expected TOKEN SCOPE[,SCOPE] with scopes of read, write, admin; got scopes {0:?}")]
    Scopes(String),
    /// A line of a list of tokens.
    #[error("line {number}: {error}")]
    Line {
        /// Its number, from 1.
        number: usize,
        /// What is wrong with it.
        error: Box<AccessError>,
    },
    /// No origin as browsers send it.
    #[error("origin {0:?}: expected https://host or http://host:port")]
    Origin(String),
}
