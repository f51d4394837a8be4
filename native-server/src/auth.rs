//! Who may call: bearer tokens with scopes, and a limit on requests from one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, bail};
use sommos_core::{
    time::Timestamp,
    wire::{ApiError, ErrorCode, routes::Scope},
};
use subtle::ConstantTimeEq as _;

/// Shortest token; below it a token could be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// The tokens that are known. None known: everyone who reaches the server may call.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Vec<(Vec<u8>, Scope)>);

impl Tokens {
    /// `admin` has every right; `file` has lines of TOKEN SCOPE[,SCOPE], `#` begins a comment.
    ///
    /// # Errors
    /// Names the line that is malformed or the token that is too short; never prints a token.
    pub fn parse(admin: Option<&str>, file: &str) -> anyhow::Result<Self> {
        let mut tokens = Vec::new();
        if let Some(token) = admin {
            check_length(token).context("--token")?;
            tokens.push((token.as_bytes().to_vec(), Scope::Admin));
        }
        for (number, line) in file.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let at = || format!("--tokens-file, line {}", number + 1);
            let (token, scopes) = line.split_once(char::is_whitespace).with_context(at)?;
            check_length(token).with_context(at)?;
            tokens.push((
                token.as_bytes().to_vec(),
                parse_scopes(scopes.trim()).with_context(at)?,
            ));
        }
        Ok(Self(tokens))
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

fn check_length(token: &str) -> anyhow::Result<()> {
    if token.len() < TOKEN_BYTES_MIN {
        bail!(
            "a token has at least {TOKEN_BYTES_MIN} characters, this one has {}",
            token.len()
        );
    }
    Ok(())
}

/// Scopes are ordered: admin may write, write may read. The highest of the list holds.
fn parse_scopes(text: &str) -> anyhow::Result<Scope> {
    let mut highest = None;
    for name in text.split(',') {
        let scope = match name.trim() {
            "read" => Scope::Read,
            "write" => Scope::Write,
            "admin" => Scope::Admin,
            other => bail!("unknown scope {other:?}; valid: read, write, admin"),
        };
        highest = highest.max(Some(scope));
    }
    highest.context("no scope")
}

const fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Public => "public",
        Scope::Read => "read",
        Scope::Write => "write",
        Scope::Admin => "admin",
    }
}

/// Addresses that are remembered; past it the oldest buckets are forgotten.
const ADDRESSES_MAX: usize = 10_000;

/// A token bucket for each address.
#[derive(Debug)]
pub struct RateLimiter {
    per_second: u32,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl RateLimiter {
    /// `per_second` requests a second, in bursts of up to twice as many.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second,
            buckets: Mutex::default(),
        }
    }

    /// Takes one request from the address's bucket.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub fn check(&self, now: Timestamp, address: IpAddr) -> Result<(), ApiError> {
        let rate = f64::from(self.per_second);
        let burst = 2.0 * rate;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&address) {
            // A bucket untouched for two seconds is full again: forgetting it changes nothing.
            buckets.retain(|_, b| now.ms_since(b.at) < 2000);
            if buckets.len() >= ADDRESSES_MAX {
                return Err(limited(self.per_second));
            }
        }
        let bucket = buckets.entry(address).or_insert(Bucket {
            tokens: burst,
            at: now,
        });
        let refill = now.ms_since(bucket.at) as f64 / 1000.0 * rate;
        bucket.tokens = (bucket.tokens + refill).min(burst);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(limited(self.per_second));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

fn limited(per_second: u32) -> ApiError {
    ApiError::new(
        ErrorCode::RateLimited,
        format!("more than {per_second} requests a second from this address; try again later"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_ordered() {
        let tokens = Tokens::parse(
            None,
            "reader-0123456789 read\nwriter-0123456789 read,write # x",
        )
        .unwrap();
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
    fn malformed_token_files_name_the_line() {
        let error = Tokens::parse(None, "\nshort read").unwrap_err();
        assert!(format!("{error:#}").contains("line 2"), "{error:#}");
        assert!(Tokens::parse(None, "reader-0123456789 all").is_err());
    }

    #[test]
    fn a_bucket_refills_with_time() {
        let limiter = RateLimiter::new(1);
        let ip = IpAddr::from([127, 0, 0, 1]);
        assert!(limiter.check(Timestamp(0), ip).is_ok());
        assert!(limiter.check(Timestamp(0), ip).is_ok());
        assert_eq!(
            limiter.check(Timestamp(0), ip).unwrap_err().code,
            ErrorCode::RateLimited
        );
        assert!(limiter.check(Timestamp(1000), ip).is_ok());
    }
}
