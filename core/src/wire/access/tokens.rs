//! Bearer tokens.

use subtle::ConstantTimeEq as _;

use super::AccessError;
use crate::wire::{ApiError, ErrorCode, routes::Scope};

/// Shortest token, bytes; below it a token could be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// The tokens that are known. None known: everyone who reaches the shell may call.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Vec<(Vec<u8>, Scope)>);

impl Tokens {
    /// Reads lines of TOKEN SCOPE[,SCOPE]; `#` begins a comment.
    ///
    /// # Errors
    /// Names the line that is malformed or the token that is too short; never prints a token.
    pub fn parse(lines: &str) -> Result<Self, AccessError> {
        let mut tokens = Self::default();
        for (index, line) in lines.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (token, scopes) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let added = parse_scopes(scopes.trim()).and_then(|scope| tokens.add(token, scope));
            added.map_err(|error| AccessError::Line {
                number: index + 1,
                error: Box::new(error),
            })?;
        }
        Ok(tokens)
    }

    /// Adds a token of this scope.
    ///
    /// # Errors
    /// [`AccessError::ShortToken`].
    pub fn add(&mut self, token: &str, scope: Scope) -> Result<(), AccessError> {
        let (found, min) = (token.len(), TOKEN_BYTES_MIN);
        if found < min {
            return Err(AccessError::ShortToken { found, min });
        }
        self.0.push((token.as_bytes().to_vec(), scope));
        Ok(())
    }

    /// Whether no token is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks an `Authorization` header against the scope that a route needs. Every token is
    /// compared in constant time, so that an answer's time tells nothing.
    ///
    /// # Errors
    /// `UNAUTHORIZED` or `FORBIDDEN`.
    pub fn check(&self, header: Option<&[u8]>, needed: Scope) -> Result<(), ApiError> {
        if self.0.is_empty() || needed == Scope::Public {
            return Ok(());
        }
        let given = header
            .and_then(|h| h.strip_prefix(b"Bearer "))
            .unwrap_or_default();
        let mut scope = None;
        for (token, has) in &self.0 {
            if bool::from(token.as_slice().ct_eq(given)) {
                scope = Some(*has);
            }
        }
        match scope {
            None => Err(ApiError::new(
                ErrorCode::Unauthorized,
                "a valid token is required: send the header Authorization: Bearer TOKEN",
            )),
            Some(has) if has >= needed => Ok(()),
            Some(_) => Err(ApiError::new(
                ErrorCode::Forbidden,
                format!("this token lacks the scope {}", scope_name(needed)),
            )),
        }
    }
}

/// Scopes are ordered: admin may write, write may read. The highest of the list holds.
fn parse_scopes(text: &str) -> Result<Scope, AccessError> {
    let wrong = || AccessError::Scopes(text.chars().take(64).collect());
    let mut highest = None;
    for name in text.split(',') {
        let scope = match name.trim() {
            "read" => Scope::Read,
            "write" => Scope::Write,
            "admin" => Scope::Admin,
            _ => return Err(wrong()),
        };
        highest = highest.max(Some(scope));
    }
    highest.ok_or_else(wrong)
}

const fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Public => "public",
        Scope::Read => "read",
        Scope::Write => "write",
        Scope::Admin => "admin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_ordered() {
        let tokens =
            Tokens::parse("reader-0123456789 read\nwriter-0123456789 read,write # x").unwrap();
        let check =
            |token: &str, scope| tokens.check(Some(format!("Bearer {token}").as_bytes()), scope);
        assert!(check("reader-0123456789", Scope::Read).is_ok());
        assert_eq!(
            check("reader-0123456789", Scope::Write).unwrap_err().code,
            ErrorCode::Forbidden
        );
        assert!(check("writer-0123456789", Scope::Write).is_ok());
        assert_eq!(
            check("nobody-0123456789", Scope::Read).unwrap_err().code,
            ErrorCode::Unauthorized
        );
        assert!(tokens.check(None, Scope::Public).is_ok());
        assert_eq!(
            tokens.check(None, Scope::Read).unwrap_err().code,
            ErrorCode::Unauthorized
        );
    }

    #[test]
    fn malformed_lines_are_named() {
        let error = Tokens::parse("\nshort read").unwrap_err().to_string();
        assert!(error.starts_with("line 2: a token has at least"), "{error}");
        let error = Tokens::parse("reader-0123456789 all").unwrap_err();
        assert!(error.to_string().contains("got scopes \"all\""), "{error}");
        assert!(Tokens::parse("reader-0123456789").is_err());
    }
}
